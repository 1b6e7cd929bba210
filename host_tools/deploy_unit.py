"""The systemd unit of a deployed cell: how it starts, and everything it has no business with taken away."""

from host_tools.slots_linux import Places

DEVICES = (
    "char-gpiochip",
    "char-gpiomem",
    "char-i2c",
    "char-spi",
    "char-ttyS",
    "char-ttyAMA",
    "char-ttyUSB",
    "char-ttyACM",
    "char-watchdog",
    "/dev/watchdog",
)
"""What a board's drivers may open, by the names of /proc/devices; where a machine lacks one, it lacks nothing."""

PWM_CHIPS = 4
"""/sys is read-only but for these: the kernel has no other interface for PWM."""

UNIT = """\
# Written by cellctl deploy; a change made here by hand is overwritten. Own settings: systemctl edit cell@NAME
[Unit]
Description=cell %i
After=network.target time-sync.target
StartLimitIntervalSec=0

[Service]
Type=notify
{user}Environment=XDG_RUNTIME_DIR={run}
EnvironmentFile={slots}/%i/settings.env
# goes back first if the machine lost its power while a new application was on trial
ExecStartPre=+/usr/bin/python3 -I {slots}/%i/agent.pyz
ExecStart={slots}/%i/current/venv/bin/cell-controller {slots}/%i/current/cell --journal {state}/cell-%i/journal \
--no-auto $CELL_ARGS
# a controller that was killed wrote nothing: its outputs go to their abort values, whatever ended it
ExecStopPost=-{slots}/%i/current/venv/bin/python -I -m board.make_safe {slots}/%i/current/cell $CELL_ARGS
# fed after whole scans only; the supervisor inside ends a scan that hangs after 1 s, and says where it hung
WatchdogSec=2
WatchdogSignal=SIGKILL
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
{pwm}
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
        pwm="ReadWritePaths=" + " ".join(f"-/sys/class/pwm/pwmchip{n}" for n in range(PWM_CHIPS)),
        devices="\n".join(f"DeviceAllow={name} rw" for name in DEVICES),
    )
