"""`python -m bridgeflow`: the command line, where its script is not on the path."""

from bridgeflow.cli import main

if __name__ == "__main__":
    main()
