"""
History: which ended jobs are forgotten.

floors.py is the rule, which every fold applies; choice.py is the owner's decision how far the floors move.
"""
