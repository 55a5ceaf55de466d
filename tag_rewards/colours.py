"""Colours for Action Units that people with any kind of colour vision can tell apart.

The palette is that of Okabe and Ito, *Color Universal Design* (2008), without its black. A test
simulates the loss of each kind of cone (Machado, Oliveira and Fernandes 2009): no two of the seven
come nearer than a CIELAB difference of 15, where about 2 can just be seen.
"""

#: The first ones are the easiest to tell apart.
OKABE_ITO = ("#0072b2", "#d55e00", "#56b4e9", "#f0e442", "#cc79a7", "#e69f00", "#009e73")
