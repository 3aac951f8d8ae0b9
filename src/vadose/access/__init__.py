"""Find and open: the catalog, indexes of files where they lie, credentials, and a cluster in one call.

`vadose.access.catalog` searches, `.opening` opens, `.build` indexes, `.quality` checks, `.points` extracts records,
`.cluster` starts workers. What archives mean by their names and units is the next layer's matter (`vadose.products`).
"""
