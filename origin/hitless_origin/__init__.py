"""The origin: takes two encoders' output, publishes one timeline as HLS and DASH.

`ingest` checks what is pushed, `channel` asks the core (`hitless_handover.selection`) what goes on
air and carries it out on the `store`, `hls` and `dash` render what viewers may see. Nothing here
decides between encoders, and nothing here touches pictures or sound.
"""
