"""Models: a U-Net, a CNN head and small networks."""
