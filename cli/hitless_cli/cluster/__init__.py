"""The commands for channels in a Kubernetes cluster: `hitless get`, `status`, `update` and so on.

`kube.py` is the only module that talks to the API server; what a channel's document means is in
`reading.py`, and everything that makes text from it is pure.
"""
