"""Many points of one program: run side by side where shapes allow, written one by one, put into one table and one plot."""
