"""The application: builds all parts and runs them. Nothing imports it."""
