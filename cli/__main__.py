"""`python -m cli`: the same as `parley`."""

from cli.main import app

if __name__ == "__main__":
    app()
