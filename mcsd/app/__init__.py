"""The application: builds every part and runs them. Nothing imports it."""
