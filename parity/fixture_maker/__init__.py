"""The parts of `make_fixtures.py`: one kind of fixture a module."""
