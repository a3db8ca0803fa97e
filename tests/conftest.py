"""
Fixtures of the flow and fault tests; see support/harness.py for what they hand out.

The folders of a run (tmp_path, and with it every Lab's) lie in one of its own, which goes when the run ends, whatever
came of it. A failure's report has the logs. --basetemp=DIRECTORY keeps all of it.
"""

import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "support"))

import harness  # noqa: E402


@pytest.hookimpl(tryfirst=True)  # before pytest looks at basetemp
def pytest_configure(config):
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="ringside-tests-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))
    config.addinivalue_line("markers", "sanitize: worth running against a build with sanitizers")
    config.addinivalue_line("markers", "binary: a client that speaks the binary protocol")
    config.addinivalue_line("markers", "slow: takes more than some seconds")
    config.addinivalue_line("markers", "plain(reason): cannot be run over TLS, by RINGSIDE_TLS=1")
    # A test run that is told to end ends its processes, and removes its folders.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", returncode=1))


def pytest_collection_finish(session):
    """Without the binary no test says anything: stop at once, with a reason."""
    if session.config.option.collectonly or not session.items:
        return
    try:
        harness.ringside_path()
    except harness.HarnessError as error:
        pytest.exit(str(error), returncode=3)


def pytest_runtest_setup(item):
    mark = item.get_closest_marker("plain")
    if harness.ALL_TLS and mark is not None:
        pytest.skip("not over TLS: " + mark.args[0])


@pytest.fixture
def lab(tmp_path):
    """A Lab for one test. When the test's own steps are done, Lab.verify() is part of its verdict."""
    made = harness.Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    """A Lab for all tests of a module. They must not need a server of their own state. Verified at its end."""
    made = harness.Lab(tmp_path_factory.mktemp("lab"))
    try:
        yield made
        made.verify()
    finally:
        made.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """What Ringside did wrong on the side fails the test itself."""
    outcome = yield
    shared = pyfuncitem.funcargs.get("shared_lab")
    if outcome.excinfo is None and shared is not None:
        for ringside in shared.ringsides:
            problem = ringside.problem()
            if problem:
                raise harness.HarnessError(problem)
    made = pyfuncitem.funcargs.get("lab")
    if outcome.excinfo is None and made is not None and not made.verified:
        made.verify()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name in ("lab", "shared_lab"):
        made = getattr(item, "funcargs", {}).get(name)
        if made is not None and made.logs():
            report.sections.append(("ringside", made.logs()))
