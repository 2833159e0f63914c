"""What every benchmark needs: a server, children that are accounted for, tables."""
