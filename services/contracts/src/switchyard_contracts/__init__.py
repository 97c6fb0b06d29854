"""Types that Switchyard's parts share: resources, events, evidence, and the statistics that judge it. No I/O."""
