"""A headless browser: opens a page, takes steps, prints what each gave.

``python -m tests.generate.browser PAGE``, with a JSON list of steps on standard input: ``{"js":
EXPRESSION}`` evaluates, ``{"key": NAME}`` presses a key, ``{"shot": PATH}`` takes a picture of the
page. Prints ``{"results", "console", "requests"}``. With ``dark`` as a second argument the page is
asked for in dark.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 120
"""Seconds, for a machine with other work."""


def visit(page: Path, steps: list[dict[str, str]], dark: bool = False) -> dict[str, Any]:
    """Run the steps in a browser of their own."""
    command = [sys.executable, "-m", "tests.generate.browser", str(page), *["dark"] * dark]
    done = subprocess.run(
        command,
        cwd=ROOT,
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "QTWEBENGINE_DISABLE_SANDBOX": "1",  # root has none
            "QTWEBENGINE_CHROMIUM_FLAGS": f"--blink-settings=preferredColorScheme={int(not dark)}",
        },
    )
    assert done.returncode == 0, f"the browser failed:\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(page: str, steps: list[dict[str, str]]) -> None:
    from PySide6.QtCore import Qt, QTimer, QUrl
    from PySide6.QtTest import QTest
    from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
    from PySide6.QtWebEngineWidgets import QWebEngineView
    from PySide6.QtWidgets import QApplication

    found: dict[str, Any] = {"results": [], "console": [], "requests": []}

    class Page(QWebEnginePage):
        def javaScriptConsoleMessage(self, level: Any, message: str, *_: Any) -> None:  # noqa: N802
            found["console"].append(message)

    class Interceptor(QWebEngineUrlRequestInterceptor):
        def interceptRequest(self, info: Any) -> None:  # noqa: N802
            found["requests"].append(info.requestUrl().toString()[:80])

    application = QApplication(["browser"])
    view, interceptor = QWebEngineView(), Interceptor()
    own = Page(view)
    view.setPage(own)
    own.setUrlRequestInterceptor(interceptor)
    view.resize(1300, 1000)
    view.show()
    left = list(steps)

    def after(result: Any = None) -> None:
        found["results"].append(result)
        # What the step set in motion runs first.
        QTimer.singleShot(150, step)

    def step() -> None:
        if not left:
            application.quit()
            return
        ((kind, value),) = left.pop(0).items()
        if kind == "js":
            own.runJavaScript(f"JSON.stringify({value})", lambda text: after(json.loads(text)))
        elif kind == "key":
            QTest.keyClick(view.focusProxy(), Qt.Key[f"Key_{value}"])
            after()
        else:
            view.grab().save(value)
            after()

    def loaded(good: bool) -> None:
        if not good:
            raise SystemExit(f"{page}: did not load")
        view.setFocus()
        step()

    view.loadFinished.connect(loaded)
    view.load(QUrl.fromLocalFile(page))
    application.exec()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
