"""The pages and actions of the console, one module for each."""
