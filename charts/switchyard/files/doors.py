"""What `helm test` asks: whether every part answers at its door, within a minute. Standard library only.

Certificates are not checked here: they are for the names that products call, and a test from inside calls others.
"""

import os
import ssl
import sys
import time
import urllib.error
import urllib.request

PATIENCE = float(os.environ.get("PATIENCE", "60"))
UNCHECKED = ssl._create_unverified_context()


def trouble(name: str, url: str) -> str:
    """Empty when the part answers as it should; the gateway by saying, under an id, that it knows no such model."""
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=UNCHECKED)
    )
    try:
        with opener.open(url, timeout=5) as answer:
            status, headers = answer.status, answer.headers
    except urllib.error.HTTPError as error:
        status, headers = error.code, error.headers
    except OSError as error:
        return f"{name}: no answer from {url}: {error}"
    if name != "GATEWAY":
        return "" if status == 200 else f"{name}: {url} answers {status}"
    if status == 404 and headers.get("x-prediction-id"):
        return ""
    return f"{name}: {url} answers {status}, without an id" if status == 404 else f"{name}: {url} answers {status}"


def main() -> int:
    """Ask all of them until they answer; name those that do not."""
    doors = {name: os.environ[name] for name in ("GATEWAY", "FEEDBACK", "MONITOR", "OPERATOR")}
    end = time.monotonic() + PATIENCE
    while True:
        wrong = [said for name, url in doors.items() if (said := trouble(name, url))]
        if not wrong:
            sys.stdout.write("every part answers\n")
            return 0
        if time.monotonic() > end:
            sys.stderr.write("\n".join(wrong) + "\n")
            return 1
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
