"""Pages in a headless Chromium: started, steered and watched. For the tests and for `scripts/screenshots.py`."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

START = """
import sys
from afm_hf.demo.models import DemoModels
from afm_hf.demo.page import build_page, serve
print(serve(build_page(DemoModels(max_duration_s=30)), port=None, block=False), flush=True)
sys.stdin.read()
"""
WAIT_S = 60


def missing(*packages):
    """Why no browser can be steered here, or nothing; `packages` are what the page itself needs."""
    for package in ("selenium", *packages):
        try:
            __import__(package)
        except ImportError:
            return f"{package} is not installed"
    if programs() is None:
        return "there is no chromium with its chromedriver (Debian: chromium, chromium-driver)"
    return None


def programs():
    """The browser and its driver, or None."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextlib.contextmanager
def page_served():
    """The address of the page, served by a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            lines = iter(server.stdout.readline, "")
            yield next(line.strip() for line in lines if line.startswith("http"))
        finally:
            server.stdin.close()  # it ends by itself
            server.terminate()


@contextlib.contextmanager
def chromium(width=1120, height=900, downloads=None):
    """A headless browser that writes down every request, and puts what is saved into the folder `downloads`."""
    from selenium import webdriver

    browser, driver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    size = f"--window-size={width},{height}"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en", size):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    steered = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield steered
    finally:
        steered.quit()


class Visitor:
    """Somebody who uses the page."""

    def __init__(self, driver, address):
        self.driver = driver
        self.hosts = set()
        driver.get(address)
        self.until(lambda: self.find("#classify-button"))

    def find(self, selector):
        """The first visible element, or None."""
        from selenium.webdriver.common.by import By

        return next(
            (found for found in self.driver.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()), None
        )

    def until(self, true, seconds=WAIT_S):
        """Waits for something, and returns it."""
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(StaleElementReferenceException):
                if value := true():
                    return value
            time.sleep(0.1)
        raise TimeoutError(f"Waited {seconds} s in vain. The page says: {self.text('body')[:500]}")

    def text(self, selector):
        """What a visible element says; of text fields, what stands in them."""
        found = self.find(selector)
        return (found.get_attribute("value") or found.text) if found else ""

    def open_tab(self, name):
        """Clicks on a tab."""
        from selenium.webdriver.common.by import By

        tabs = self.driver.find_elements(By.CSS_SELECTOR, "[role=tab]")
        shown = [tab for tab in tabs if tab.text.strip() == name and tab.is_displayed()]
        if not shown:  # a narrow window has no room for it: it is in the menu behind the dots
            self.find(".overflow-menu > button").click()
            tabs = self.driver.find_elements(By.CSS_SELECTOR, ".overflow-dropdown button")
            shown = [tab for tab in tabs if tab.text.strip() == name]
        shown[0].click()

    def upload(self, place, path):
        """Gives a file to a place for clips, and waits until it has arrived."""
        from selenium.webdriver.common.by import By

        place = f"#{place}"
        field = self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, f"{place} input[type=file]"))[0]
        field.send_keys(str(Path(path).resolve()))
        self.until(lambda: self.find(f"{place} button[aria-label='Clear']"))

    def write(self, field, text):
        """Puts words into a text field in place of what stands there."""
        from selenium.webdriver.common.keys import Keys

        box = self.find(f"#{field} textarea, #{field} input")
        box.send_keys(Keys.CONTROL, "a")
        box.send_keys(text)

    def click(self, button):
        """Clicks on a button."""
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(f"#{button}"))
        self.find(f"#{button}").click()

    def scores(self, place):
        """The bars of a place, once they are there."""
        return self.until(lambda: text if "%" in (text := self.text(f"#{place}")) else "")

    def error(self):
        """The message that pops up."""
        return self.until(lambda: self.text(".toast-body"))

    def requested_hosts(self):
        """Hosts that the page has asked for anything so far."""
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            for key in ("request", "response"):
                url = event["params"].get(key, {}).get("url") if isinstance(event["params"].get(key), dict) else None
                if url and not url.startswith(("data:", "blob:", "about:", "chrome")):
                    self.hosts.add(urlsplit(url).hostname)
        return self.hosts
