//! Whose a classifier is, by its name, and what such classifiers return.
//!
//! A name is no proof: anybody may choose it. A loader names the filter; iproute2 after object and
//! section (`bpf_lxc.o:[from-container]`), libbpf after program and number (`cali_tc_preambl:[42]`),
//! others as they like or not at all, so that only the kernel's name of the program is left.
//! Agents whose programs are no classifiers have no row: Tetragon, Pixie and Kindling sit on kernel
//! functions. kube-router (netfilter) and Antrea (Open vSwitch) usually have none either; should
//! one appear, it is known by the word.

/// The vendor that has a known case of its own.
const CILIUM: &str = "Cilium";
/// What the names of its programs begin with since 1.12.
const NEW_CILIUM: &str = "cil_";
/// Bytes that the kernel keeps of a program's name.
const PROGRAM_NAME: usize = 15;

/// Who uses such names.
#[derive(Debug)]
pub struct Vendor {
    /// For people.
    pub name: &'static str,
    /// What it returns for packets that it grants access to.
    pub returns: Returns,
    /// What its names begin with.
    prefixes: &'static [&'static str],
}

/// What a classifier returns for packets that it grants access to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// TC_ACT_OK: no other classifier is asked.
    Ok,
    /// TC_ACT_UNSPEC: the next one is asked.
    Unspec,
    /// That depends, or is not known.
    Unknown,
}

static VENDORS: &[Vendor] = &[
    // bpf/bpf_*.c: `cil_*` are the entry points since 1.12, before they were sections of the
    // objects bpf_lxc.o, bpf_host.o, bpf_netdev*.o, bpf_overlay.o and bpf_network.o. CTX_ACT_OK is
    // TC_ACT_OK.
    Vendor {
        name: CILIUM,
        returns: Returns::Ok,
        prefixes: &[
            NEW_CILIUM,
            "bpf_lxc",
            "bpf_host",
            "bpf_netdev",
            "bpf_overlay",
            "bpf_network.o",
            "from-container",
            "to-container",
            "from-netdev",
            "to-netdev",
            "from-host",
            "to-host",
            "from-overlay",
            "to-overlay",
            "from-network",
        ],
    },
    // felix/bpf-gpl: sections `calico_from_workload_ep` and the like at first, later programs
    // `cali_tc_preamble` and `calico_tc_*`. Some packets are passed on, others redirected.
    Vendor {
        name: "Calico",
        returns: Returns::Unknown,
        prefixes: &["calico_", "cali_"],
    },
    // pkg/security/ebpf/c of the Datadog agent: sections and programs; filters are called
    // `<section>_<uid>_<pid>`. Its ACT_OK is TC_ACT_UNSPEC.
    Vendor {
        name: "Datadog Agent",
        returns: Returns::Unspec,
        prefixes: &[
            "classifier_ingress",
            "classifier_egress",
            "classifier_raw_packet",
            "classifier/ingress",
            "classifier/egress",
            "classifier/raw_packet",
        ],
    },
    // pkg/ebpf/c/tc.*.bpf.c of aws-network-policy-agent: the names of the functions, BPF_OK is 0.
    Vendor {
        name: "AWS VPC CNI network policy agent",
        returns: Returns::Ok,
        prefixes: &["handle_ingress", "handle_egress"],
    },
    // pkg/plugin/packetparser of Microsoft's Retina: the names of the functions, which only watch.
    Vendor {
        name: "Retina",
        returns: Returns::Unspec,
        prefixes: &[
            "endpoint_ingress_filter",
            "endpoint_egress_filter",
            "host_ingress_filter",
            "host_egress_filter",
        ],
    },
    // bpf/flows.c of netobserv-ebpf-agent; what it returns has changed.
    Vendor {
        name: "NetObserv",
        returns: Returns::Unknown,
        prefixes: &[
            "tc/ingress_flow_parse",
            "tc/egress_flow_parse",
            "tc_ingress_flow_parse",
            "tc_egress_flow_parse",
            "ingress_flow_parse",
            "egress_flow_parse",
        ],
    },
    // bpf/tctracer of Grafana Beyla and of OpenTelemetry's eBPF instrumentation, which came of it.
    Vendor {
        name: "Beyla or OpenTelemetry eBPF instrumentation",
        returns: Returns::Unknown,
        prefixes: &["beyla_", "obi_"],
    },
    // bpf/mb_tc.c of Merbridge, loaded by tc(8).
    Vendor {
        name: "Merbridge",
        returns: Returns::Unknown,
        prefixes: &["mb_tc"],
    },
    // loxilb-ebpf: llb_ebpf_main.o and llb_ebpf_emain.o, loaded by its own tc(8).
    Vendor {
        name: "LoxiLB",
        returns: Returns::Unknown,
        prefixes: &["llb_ebpf"],
    },
    // GPL/HostIsolation/TcFilter of elastic/ebpf, which lets through what an isolated host may say.
    Vendor {
        name: "Elastic",
        returns: Returns::Unknown,
        prefixes: &["TcFilter", "elastic"],
    },
    Vendor {
        name: "Antrea",
        returns: Returns::Unknown,
        prefixes: &["antrea"],
    },
    Vendor {
        name: "kube-router",
        returns: Returns::Unknown,
        prefixes: &["kube-router", "kube_router"],
    },
];

static UNKNOWN: Vendor = Vendor {
    name: "unknown provider",
    returns: Returns::Unknown,
    prefixes: &[],
};

/// The vendor of a classifier: by the filter's name, the section in it, then by the kernel's name
/// for the program, at most 15 bytes. Either may be empty.
pub fn of(filter: &str, program: &str) -> &'static Vendor {
    let section = section(filter);
    by_prefix(|prefix| filter.starts_with(prefix))
        .or_else(|| by_prefix(|prefix| section.starts_with(prefix)))
        .or_else(|| by_prefix(|prefix| is_program(program, prefix)))
        .unwrap_or(&UNKNOWN)
}

/// Whether such names are those that Cilium gave before 1.12. One that tc(8) loaded may have a new
/// name only in the kernel.
pub fn is_old_cilium(filter: &str, program: &str) -> bool {
    let names = [filter, section(filter), program];
    let is_new = names.iter().any(|name| name.starts_with(NEW_CILIUM));
    !is_new && of(filter, program).name == CILIUM
}

/// The section in the name that iproute2 gives; empty in others.
fn section(filter: &str) -> &str {
    filter.split_once(":[").map_or("", |(_, section)| section)
}

fn by_prefix(is: impl Fn(&str) -> bool) -> Option<&'static Vendor> {
    VENDORS
        .iter()
        .find(|vendor| vendor.prefixes.iter().any(|prefix| is(prefix)))
}

/// Whether a program's name, which may be cut, begins with a prefix.
fn is_program(program: &str, prefix: &str) -> bool {
    let is_cut = program.len() == PROGRAM_NAME;
    program.starts_with(prefix) || is_cut && prefix.starts_with(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_known_by_their_names() {
        for (filter, program, vendor) in [
            ("cil_from_netdev-eth0", "", "Cilium"),
            ("bpf_lxc.o:[from-container]", "", "Cilium"),
            ("bpf_netdev_eth0.o:[from-netdev]", "", "Cilium"),
            ("ep.o:[to-container]", "", "Cilium"),
            ("", "cil_from_contai", "Cilium"),
            ("cali_tc_preambl:[42]", "cali_tc_preambl", "Calico"),
            ("from_wep.o:[calico_from_workload_ep]", "", "Calico"),
            (
                "classifier_ingress_security_3_4026531840_812",
                "",
                "Datadog Agent",
            ),
            ("", "classifier_raw_", "Datadog Agent"),
            ("handle_ingress", "", "AWS VPC CNI network policy agent"),
            ("", "endpoint_ingres", "Retina"),
            ("tc/egress_flow_parse", "", "NetObserv"),
            (
                "obi_app_egress",
                "",
                "Beyla or OpenTelemetry eBPF instrumentation",
            ),
            ("mb_tc.o:[classifier_ingress]", "", "Merbridge"),
            ("llb_ebpf_main.o:[tc_packet_hook0]", "", "LoxiLB"),
            ("TcFilter.bpf.o:[classifier]", "", "Elastic"),
            ("antrea_egress", "", "Antrea"),
            ("kube-router-ingress", "", "kube-router"),
            ("", "", "unknown provider"),
            ("my_cil_", "tail_handle", "unknown provider"),
            ("", "endpoint_ingre", "unknown provider"),
        ] {
            assert_eq!(of(filter, program).name, vendor, "{filter} {program}");
        }
    }

    #[test]
    fn old_names_of_cilium_are_told_from_new_ones() {
        for (filter, program, is_old) in [
            ("bpf_lxc.o:[from-container]", "", true),
            ("from-netdev", "", true),
            ("", "bpf_overlay", true),
            ("cil_from_netdev-eth0", "cil_from_netdev", false),
            ("bpf_lxc.o:[from-container]", "cil_from_contai", false),
            ("bpf_lxc.o:[cil_from_container]", "", false),
            ("", "cil_to_netdev", false),
            ("handle_ingress", "", false),
            ("", "", false),
        ] {
            assert_eq!(is_old_cilium(filter, program), is_old, "{filter} {program}");
        }
    }

    #[test]
    fn no_vendor_hides_behind_another() {
        for vendor in VENDORS {
            for prefix in vendor.prefixes {
                assert_eq!(of(prefix, "").name, vendor.name, "{prefix}");
            }
        }
    }
}
