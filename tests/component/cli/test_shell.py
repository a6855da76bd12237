"""Shell completion and the kubectl plugin, as a shell and kubectl call them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.component.cli.conftest import Stage

CODE = "import sys; sys.argv[0] = sys.argv.pop(1); from hitless_cli.__main__ import main; main()"
ANSWER_S = 30


def complete(stage: Stage, words: str, kubeconfig: Path | None = None) -> list[str]:
    """What bash would offer after these words."""
    parts = words.split(" ")
    env = {
        **os.environ,
        "_HITLESS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(parts) - 1),
        "KUBECONFIG": str(kubeconfig or stage.plane.kubeconfig),
    }
    done = subprocess.run(
        [sys.executable, "-m", "hitless_cli"],
        env=env,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_and_options(stage: Stage) -> None:
    assert complete(stage, "hitless ro") == ["rollback"]
    assert "--image" in complete(stage, "hitless update --i")


def test_names_of_channels(stage: Stage) -> None:
    stage.create("news")
    stage.create("nature")
    stage.create("sport")
    ours = f"-n {stage.namespace}"
    assert complete(stage, f"hitless status {ours} n") == ["nature", "news"]
    assert complete(stage, f"hitless get {ours} news n") == ["nature"]


def test_silent_without_a_cluster(stage: Stage, tmp_path: Path) -> None:
    assert complete(stage, "hitless status n", kubeconfig=tmp_path / "nonesuch") == []
    path = tmp_path / "kubeconfig"
    path.write_text(
        stage.plane.kubeconfig.read_text().replace(stage.plane.url, "https://127.0.0.1:9")
    )
    assert complete(stage, "hitless status n", kubeconfig=path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(stage: Stage, shell: str) -> None:
    result = stage.hitless_alone("completion", shell)
    assert result.exit_code == 0
    assert "_HITLESS_COMPLETE" in result.stdout


def test_kubectls_own_completion(stage: Stage) -> None:
    stage.create("news")
    code = "import sys; from hitless_cli.shell import complete_for_kubectl as c; c()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status", "-n", stage.namespace, "ne"],
        env={**os.environ, "KUBECONFIG": str(stage.plane.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=True,
    )
    assert done.stdout.splitlines() == ["news", ":4"]


@pytest.mark.parametrize(
    ("called", "named"),
    [("/usr/bin/kubectl-hitless", "kubectl hitless"), ("/usr/bin/hitless", "hitless")],
)
def test_help_says_what_the_user_typed(called: str, named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, called, "--help"],
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=True,
    )
    assert done.stdout.startswith(f"Usage: {named} [OPTIONS] COMMAND")


def test_help_imports_no_kubernetes() -> None:
    code = (
        "import sys; from hitless_cli.__main__ import main\n"
        "main(['get', '--help'], standalone_mode=False)\n"
        "assert 'kubernetes' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=ANSWER_S, check=True)
