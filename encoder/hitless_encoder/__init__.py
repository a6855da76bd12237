"""One encoder process: a live source in, CMAF segments on the channel's timeline out.

Main path: sources (picture and sound of a frame number) -> ladder (one thread a track, one fresh
codec context a segment) -> mux (CMAF) -> sink (HTTP push). session.py runs it, verify/ judges
what another encoder made of the same segment, __main__.py is the composition root.
"""
