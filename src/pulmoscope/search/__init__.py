"""Many runs: spaces, studies, heads trained together, ablations, and the engines that spread them."""
