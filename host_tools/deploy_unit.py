"""The systemd unit of a deployed cell: how it starts, and everything it has no business with taken away."""

from host_tools.slots_linux import Places

DEVICES = (
    "char-gpiochip",
    "char-gpiomem",
    "char-i2c",
    "char-spi",
    "char-ttyAMA",
    "char-ttyUSB",
    "char-ttyACM",
)
"""What a board's drivers may open, by the names of /proc/devices; where a machine lacks one, it lacks nothing."""

UNIT = """\
# Written by cellctl deploy; a change made here by hand is overwritten. Own settings: systemctl edit cell@NAME
[Unit]
Description=cell %i
After=network.target time-sync.target
StartLimitIntervalSec=0

[Service]
{user}Environment=XDG_RUNTIME_DIR={run}
EnvironmentFile={slots}/%i/settings.env
# goes back first if the machine lost its power while a new application was on trial
ExecStartPre=+/usr/bin/python3 -I {slots}/%i/agent.pyz
ExecStart={slots}/%i/current/venv/bin/cell-controller {slots}/%i/current/cell --journal {state}/cell-%i/journal \
--no-auto $CELL_ARGS
Restart=always
RestartSec=2
TimeoutStopSec=20
KillMode=mixed
Nice=-5
StateDirectory=cell-%i
StateDirectoryMode=0700
RuntimeDirectory=cell
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
DevicePolicy=closed
{devices}

[Install]
WantedBy=multi-user.target
"""


def unit(places: Places) -> str:
    """The text of `cell@.service` for a machine on which things lie at `places`."""
    return UNIT.format(
        user=f"User={places.user}\n" if places.user else "",
        slots=places.slots,
        state=places.state,
        run=places.run,
        devices="\n".join(f"DeviceAllow={name} rw" for name in DEVICES),
    )
