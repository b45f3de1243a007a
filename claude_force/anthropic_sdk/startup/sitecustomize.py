"""Run by each Python program under `claude-force run`: when it imports the Anthropic SDK, its calls are recorded.

The program may use another Python, even version 2, and another environment, without claude-force: then this package is
taken from where it is, which needs the standard library alone. Most programs never import the SDK, so nothing is loaded
before. Afterwards `sitecustomize` is the one that the program has without us.
"""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


class _SdkIsImported(object):  # noqa: UP004
    """Finds nothing, and hears of all that is imported."""

    def find_spec(self, name, _path=None, _target=None):
        # type: (str, object, object) -> None
        if name != "anthropic":
            return
        sys.meta_path.remove(self)
        try:
            _start()
        except Exception as problem:
            sys.stderr.write("claude-force: calls of the Anthropic SDK are not recorded: %s\n" % problem)  # noqa: UP031


def _start():
    # type: () -> None
    import importlib.util

    if importlib.util.find_spec("claude_force") is None:
        package = os.path.dirname(os.path.dirname(_FOLDER))  # noqa: PTH120
        spec = importlib.util.spec_from_file_location(
            "claude_force",
            os.path.join(package, "__init__.py"),  # noqa: PTH118
            submodule_search_locations=[package],
        )
        assert spec is not None and spec.loader is not None  # noqa: PT018
        module = sys.modules["claude_force"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    from claude_force.anthropic_sdk.hooks import wrap_sdk

    wrap_sdk()


def _run_next():
    # type: () -> None
    sys.path[:] = [folder for folder in sys.path if folder != _FOLDER]
    own = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = own


if sys.version_info >= (3, 11):  # noqa: UP036
    sys.meta_path.insert(0, _SdkIsImported())
_run_next()
