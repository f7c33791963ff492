"""The demo: two accounts with twelve closed periods each, made by the same services as real usage (spec 8.3, 10.4)."""
