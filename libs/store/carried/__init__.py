"""
Carried: what lives is written into the log once more, so that the records before can be deleted.

carried_rows.py says how rows stand in `rows.carried`, and how a fold begins with them; carrier.py reads them from the tables.
seals.py says which sums prove what is not carried, and sealer.py makes them from the tables.
"""
