// A page in a notebook: a frame of its own, whose messages become the state that Python reads.

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = model.get("title");
  frame.style.cssText = "{{style}}";
  frame.srcdoc = model.get("html");
  const listen = ({ source, data }) => {
    if (source !== frame.contentWindow || !data?.microgradlike) return;
    model.set("state", data.microgradlike);
    model.save_changes();
  };
  window.addEventListener("message", listen);
  el.append(frame);
  return () => window.removeEventListener("message", listen);
}

export default { render };
