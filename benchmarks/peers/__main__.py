"""`python -m benchmarks.peers`: the accuracy of this project beside the peers'; in this project's environment."""

from __future__ import annotations

from benchmarks.beside_peers import main

if __name__ == "__main__":
    main()
