"""An OpenFlow switch without a datapath: tables, rules, ports."""
