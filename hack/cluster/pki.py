"""Certificates and kubeconfigs of an embedded cluster, made with openssl.

Owns `<cluster>/pki/`. The keys are for a cluster on this machine's own veth, live as long as it
does and are readable by root alone. Called by embedded.py.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import machine
from state import Cluster

DAYS = "365"
_EXTENSIONS = """\
basicConstraints=CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
authorityKeyIdentifier=keyid
subjectAltName={}
"""
_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make(cluster: Cluster) -> None:
    """Make the CA, the API server's and the administrator's certificate, and the kubeconfig."""
    folder = cluster.folder / "pki"
    folder.mkdir(mode=0o700)
    _openssl(
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        str(folder / "service-accounts.key"),
    )
    _openssl(
        "req",
        "-x509",
        *_EC,
        "-days",
        DAYS,
        "-subj",
        f"/CN={cluster.context}",
        "-addext",
        "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout",
        str(folder / "ca.key"),
        "-out",
        str(folder / "ca.crt"),
    )
    slot = cluster.slot
    names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    addresses = ["127.0.0.1", slot.api, slot.service(1)]
    alternatives = [f"DNS:{name}" for name in names] + [f"IP:{ip}" for ip in addresses]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", ",".join(alternatives))
    _identity(cluster, "admin", "/O=system:masters/CN=admin", cluster.kubeconfig)


def make_node(cluster: Cluster, index: int) -> None:
    """Make the certificate and kubeconfig of a node, unless it has them."""
    name = f"node{index}"
    target = cluster.folder / "pki" / f"{name}.kubeconfig"
    if not target.exists():
        _identity(cluster, name, f"/O=system:nodes/CN=system:node:{name}", target)


def _identity(cluster: Cluster, name: str, subject: str, kubeconfig: Path) -> None:
    folder = cluster.folder / "pki"
    _certificate(folder, name, subject, f"DNS:{name}")
    context = cluster.context
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {
                    "server": f"https://{cluster.slot.api}:6443",
                    "certificate-authority-data": _base64(folder / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": context,
                "user": {
                    "client-certificate-data": _base64(folder / f"{name}.crt"),
                    "client-key-data": _base64(folder / f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps(value, indent=2) + "\n")


def give_to_sudo_user(path: Path) -> None:
    """Under sudo the kubeconfig is for whoever called sudo."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group:
        os.chown(path, int(user), int(group))


def _certificate(folder: Path, name: str, subject: str, alternatives: str) -> None:
    key, request = folder / f"{name}.key", folder / f"{name}.csr"
    extensions = folder / f"{name}.ext"
    extensions.write_text(_EXTENSIONS.format(alternatives))
    _openssl("req", *_EC, "-subj", subject, "-keyout", str(key), "-out", str(request))
    _openssl(
        "x509",
        "-req",
        "-in",
        str(request),
        "-days",
        DAYS,
        "-extfile",
        str(extensions),
        "-CA",
        str(folder / "ca.crt"),
        "-CAkey",
        str(folder / "ca.key"),
        "-CAcreateserial",
        "-out",
        str(folder / f"{name}.crt"),
    )


def _openssl(*arguments: str) -> None:
    machine.run(["openssl", *arguments])


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
