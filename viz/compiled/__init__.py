"""Pictures of a compiled function: the scalars that were written, and the matrices found in them.

``paths``    a program, read: which operations became which instruction
``sheet``    DOT text in which every node has its place
``scalars``  operations as a small graph, or, where there are many, as rows of symbols
``glyphs``   an instruction as rectangles of rows and columns
``drawing``  ``draw_compiled``: one picture, the scalars beside the matrices

``passes``   what each pass of the compiler has made of a path
``told``     what each did there, in a sentence or two
``places``   where each scalar has its place, whatever the stage
``staged``   a picture whose parts know at which stages they are seen
``stages``   ``save_stages``: the page that steps through them
"""
