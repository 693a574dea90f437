"""The console in a real browser: Chromium without a screen, driven by Playwright."""
