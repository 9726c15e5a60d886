"""LIP-JPPNet (Liang et al., TPAMI 2018), the person parser the paper names: network and weights."""
