#!/usr/bin/env python3
"""A Kubernetes cluster on this machine: `up`, `load`, `down`, and what lies between.

Owns the command line. Results go to stdout, progress and errors to stderr. Needs Python 3.11 and
nothing else. Called by people, the Makefile and the end-to-end tests.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import embedded
import kind_provider
import machine
import state
import toolchain
from state import Provider

EPILOG = """\
environment:
  CLUSTER           the default of --kind: auto, embedded or kind
  NODES             the default of --nodes
  KIND_NODE_IMAGE   the node image for kind, one that the Docker engine has
  HITLESS_CACHE     where built tools are kept (~/.cache/hitless)
  HITLESS_STATE     where running clusters keep their files (/var/lib/hitless)

README.md beside this file tells how it works and what to do when it does not.
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except (machine.ClusterError, OSError) as error:
        print(f"cluster: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cluster: interrupted; `down` takes away what is left", file=sys.stderr)
        return 130
    return 0


# --- commands ----------------------------------------------------------------------------------


def _tools(options: argparse.Namespace) -> None:
    if options.chart:
        steps = toolchain.chart_steps()
        toolchain.ensure(steps)
        print(":".join(str(step.folder) for step in steps[1:]))
        return
    provider = _provider(options.kind)
    kind = provider is Provider.KIND
    if options.user:
        toolchain.ensure(toolchain.user_steps())
        print(_path())
        return
    toolchain.ensure(toolchain.kind_steps() if kind else toolchain.embedded_steps())
    if not kind:
        machine.ensure_packages(toolchain.tools_dir() / "log" / "apt.log")
    if options.prune:
        toolchain.prune()
    print(_path())


def _up(options: argparse.Namespace) -> None:
    provider = _provider(options.kind)
    _leave_other_provider(options.name, provider)
    start = kind_provider.up if provider is Provider.KIND else embedded.up
    cluster = start(options.name, options.nodes)
    machine.say(
        f"{cluster.name} is up ({provider}, {cluster.node_count} node(s)); for a shell:\n"
        f"  export KUBECONFIG={cluster.kubeconfig} PATH={_path()}:$PATH"
    )
    print(cluster.kubeconfig)


def _down(options: argparse.Namespace) -> None:
    for name in state.names() if options.all else [options.name]:
        there = state.folder_of(name).exists()
        with state.locked(state.folder_of(name)):
            _tear_down(name)
            state.remove_folder(name)
        machine.say(f"{name} is down" if there else f"there is no cluster {name!r}")


def _load(options: argparse.Namespace) -> None:
    cluster = state.get(options.name)
    for archive in options.archive:
        if not archive.is_file():
            raise machine.ClusterError(f"{archive}: no such file")
    kind = cluster.provider is Provider.KIND
    for archive in options.archive:
        (kind_provider.load if kind else embedded.load)(cluster, archive)


def _kubeconfig(options: argparse.Namespace) -> None:
    print(state.get(options.name).kubeconfig)


def _status(_: argparse.Namespace) -> None:
    for name in state.names():
        cluster = state.read(name)
        if cluster is None:
            print(f"{name}: half-finished; `up` starts it afresh, `down` takes it away")
            continue
        kind = cluster.provider is Provider.KIND
        answers = (kind_provider.answers if kind else embedded.answers)(cluster)
        live = "" if kind else f", {len(embedded.live_nodes(cluster))} alive"
        print(
            f"{name}: {'running' if answers else 'dead'}, {cluster.provider}, "
            f"{cluster.node_count} node(s){live}, {cluster.kubeconfig}"
        )


def _print_path(_: argparse.Namespace) -> None:
    if not toolchain.user_farm().done:
        raise machine.ClusterError("kubectl and helm are not built yet: run `tools` first")
    print(_path())


def _node_kill(options: argparse.Namespace) -> None:
    embedded.kill_node(_embedded(options.name), options.node)


def _node_start(options: argparse.Namespace) -> None:
    embedded.start_node(_embedded(options.name), options.node)


# --- choices -----------------------------------------------------------------------------------


def _provider(choice: str) -> Provider:
    """`auto` is kind where a Docker engine and a node image are to be had, or else embedded."""
    if choice != "auto":
        return Provider(choice)
    if kind_provider.engine_answers() and kind_provider.node_image():
        return Provider.KIND
    return Provider.EMBEDDED


def _leave_other_provider(name: str, provider: Provider) -> None:
    """A name that changes hands: let the provider that has it take its cluster away."""
    cluster = state.read(name)
    if cluster is not None and cluster.provider is not provider:
        with state.locked(state.folder_of(name)):
            _tear_down(name)


def _tear_down(name: str) -> None:
    cluster = state.read(name)
    if cluster is not None and cluster.provider is Provider.KIND:
        kind_provider.tear_down(name)
    else:
        embedded.tear_down(name)


def _embedded(name: str) -> state.Cluster:
    cluster = state.get(name)
    if cluster.provider is not Provider.EMBEDDED:
        raise machine.ClusterError(f"{name} is run by kind: use `docker kill` and `docker start`")
    return cluster


def _path() -> str:
    """What to put before PATH: kubectl and helm, and kind where we built it."""
    folders = [toolchain.user_farm().folder]
    if toolchain.kind_step().done:
        folders.append(toolchain.kind_step().folder)
    return ":".join(str(folder) for folder in folders)


# --- command line ------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cluster.py",
        description="A Kubernetes cluster on this machine, for tests and demos.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, command: Callable[[argparse.Namespace], None], text: str, named: bool = True
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        if named:
            added.add_argument(
                "--name",
                type=_name,
                default=state.DEFAULT_NAME,
                help=f"which cluster (default: {state.DEFAULT_NAME})",
            )
        return added

    tools = add("tools", _tools, "build or fetch the tools, once; print the PATH to use", False)
    _add_kind(tools)
    tools.add_argument("--user", action="store_true", help="only kubectl and helm")
    tools.add_argument("--chart", action="store_true", help="only what judges the chart")
    tools.add_argument(
        "--prune", action="store_true", help="then remove Go's caches, 10 GB (takes a minute)"
    )
    up = add("up", _up, "start a cluster, afresh if there is one; print its kubeconfig")
    _add_kind(up)
    up.add_argument(
        "--nodes",
        type=_node_number,
        default=os.environ.get("NODES") or "1",
        help=f"how many nodes, 1 to {state.NODES_MAX} (default: 1)",
    )
    down = add("down", _down, "end a cluster and take away all of it, logs too")
    down.add_argument("--all", action="store_true", help="end every cluster")
    load = add("load", _load, "import image archives (docker or OCI) on all live nodes")
    load.add_argument("archive", type=Path, nargs="+", metavar="IMAGE.tar")
    add("kubeconfig", _kubeconfig, "print the path of a cluster's kubeconfig")
    add("status", _status, "list the clusters", False)
    add("path", _print_path, "print the folders with kubectl and helm, for PATH", False)
    kill = add("node-kill", _node_kill, "end a node as a power cut would (embedded only)")
    kill.add_argument("node", type=_node_number)
    start = add("node-start", _node_start, "start a killed node, or one more (embedded only)")
    start.add_argument("node", type=_node_number)
    return parser


def _add_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind",
        type=_choice,
        metavar="auto|embedded|kind",
        default=os.environ.get("CLUSTER") or "auto",
        help="who runs the cluster: kind (needs a Docker engine), embedded (needs root), or auto: "
        "kind where it works, else embedded (default: auto)",
    )


def _choice(text: str) -> str:
    if text not in {"auto", *Provider}:
        raise argparse.ArgumentTypeError(f"{text!r}: expected auto, embedded or kind")
    return text


def _name(text: str) -> str:
    try:
        return state.check_name(text)
    except machine.ClusterError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _node_number(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= state.NODES_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: expected 1 to {state.NODES_MAX}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
