"""Evictions of single pods: what the API server asks before it lets one happen.

`server.py` takes the API server's question, `webhook.py` reads what it is about, `judge.py`
decides, `mark.py` is what remains of it on the pod; `certificate.py` is what the server shows.
Every replica answers, also one that stands by. kopf has an admission server too, but runs it only
while it watches: a replica without the lease would not answer.
"""
