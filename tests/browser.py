"""A page in a real browser, as the tests of the pages see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable


def node_program() -> str:
    """Node, which comes with Playwright."""
    program: str = compute_driver_executable()[0]
    return program


class Tab:
    """A page of the browser, what it asked of the network, and what it complained about."""

    def __init__(self, browser: Any, path: Path, fragment: str = "", **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}{fragment}")

    def attribute(self, name: str) -> str:
        return str(self.page.get_attribute(".stepper", name))

    @property
    def step(self) -> int:
        return int(self.attribute("data-step"))

    def press(self, key: str, times: int = 1) -> None:
        for _ in range(times):
            self.page.keyboard.press(key)

    def each(self, selector: str, *names: str) -> list[dict[str, str | None]]:
        """The attributes of all the elements that match."""
        script = """([selector, names]) => [...document.querySelectorAll(selector)].map(
            (e) => Object.fromEntries(names.map((name) => [name, e.getAttribute(name)])))"""
        found: list[dict[str, str | None]] = self.page.evaluate(script, [selector, list(names)])
        return found

    def until(self, condition: str) -> None:
        """Wait until something holds (the page forbids what Playwright does for this)."""
        for _ in range(200):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"in ten seconds it was not the case that {condition}")

    def smallest(self) -> float:
        """How high the smallest letters of the picture are, in pixels."""
        script = """() => Math.min(...[...document.querySelectorAll('.view:not([hidden]) text')]
            .filter((text) => text.textContent.trim())
            .map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
        return float(self.page.evaluate(script))

    def dom(self) -> str:
        return str(self.page.evaluate("document.querySelector('.stepper').outerHTML"))


Visit = Callable[..., Tab]
VIEWS = [
    {"viewport": {"width": width, "height": 740}, "color_scheme": scheme}
    for width in (1280, 360)
    for scheme in ("light", "dark")
]
#: For what is the same in each of them, such as numbers and words: then one of them is enough.
once = pytest.mark.parametrize("view", VIEWS[:1], ids=[""], indirect=True)
#: For what depends on the room alone, and not on light or dark.
each_width = pytest.mark.parametrize("view", VIEWS[::2], ids=["1280", "360"], indirect=True)
#: What on a page cannot be read for lack of contrast: [found, wanted, text] of each.
CONTRAST = """() => {
    const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ratio = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
    };
    const page = rgb(getComputedStyle(document.body).backgroundColor);
    const results = [];
    for (const text of document.querySelectorAll('.view text')) {
        if (!text.textContent.trim() || getComputedStyle(text).visibility === 'hidden') continue;
        const box = text.getBBox();
        const middle = [box.x + box.width / 2, box.y + box.height / 2];
        let ground = page;
        const group = text.parentElement;
        for (const shape of group.querySelectorAll('polygon, ellipse, path')) {
            const fill = getComputedStyle(shape).fill;
            const room = shape.getBBox();
            const inside = room.x <= middle[0] && middle[0] <= room.x + room.width
                && room.y <= middle[1] && middle[1] <= room.y + room.height;
            if (fill !== 'none' && inside && !group.classList.contains('edge')
                && shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING) {
                ground = rgb(fill);
            }
        }
        results.push([ratio(rgb(getComputedStyle(text).fill), ground), 4.5, text.textContent]);
    }
    const around = (line) => {  // a curve is drawn in a circle, any other line on the page
        if (!line.closest('.curve')) return page;
        const {x, y} = line.getBBox();
        const inside = [...document.querySelectorAll('.view .outline')].find((shape) => {
            const room = shape.getBBox();
            return room.x < x && x < room.x + room.width && room.y < y && y < room.y + room.height;
        });
        return rgb(getComputedStyle(inside).fill);
    };
    for (const line of document.querySelectorAll('.edge path, .node .outline')) {
        const stroke = getComputedStyle(line).stroke;
        if (stroke !== 'none') results.push([ratio(rgb(stroke), around(line)), 3, 'line']);
    }
    for (const words of document.querySelectorAll('p, button, h1, h2, label, caption, th, td')) {
        const style = getComputedStyle(words);
        const own = rgb(style.backgroundColor);
        const ground = own.length === 4 && own[3] === 0 ? page : own;
        results.push([ratio(rgb(style.color), ground), 4.5, words.textContent.slice(0, 20)]);
    }
    return results.filter(([found, wanted]) => found < wanted - 0.01);
}"""
