"""Where things lie in the memory that the stand-in's process and its host share; read by both."""

PAGE = 256
SECTOR = 4096
SECTORS = 212
"""What a Pico W leaves to Python of its flash: 848 KB."""
STORAGE_BYTES = SECTORS * SECTOR
FS_SECTORS = 36
"""The first area, the file system; the others are the application's business."""

STORAGE = 0x10000000 + (2 << 20) - STORAGE_BYTES
"""The address at which an RP2 with 2 MB sees that part of its flash; read only, as there."""
CELLS = 0x30000000
"""The same memory for the flash controller, which alone may write."""
SHARED = 0x38000000
SHARED_BYTES = 8192
ROM = 0x3C000000
"""The image of this package."""

# The shared memory begins with words of 32 bits.
WORDS = 256
OPERATIONS = 0  # programs and erases so far
CUT_AT = 1  # the operation that the power does not outlive; 0 = none
CUT_HOW = 2
VIOLATIONS = 3  # programs that would have set a bit
VIOLATION_AT = 4  # where the last one was, from the start of the storage
RESET_CAUSE = 5
WDT_MS = 6  # 0 = no watchdog
WDT_FEEDS = 7
WIFI = 8  # bit 0: there; the number changes with every loss
START_MS = 9
SPEED_MILLI = 10
UNIQUE = 11  # last byte of the unique id
CLOCK_HIGH = 12  # when the power came, in us of the host's monotonic clock, two words of 30 bits
CLOCK_LOW = 13
SEED = 14
WALL = 15  # seconds since 1970 at power-on, as the real-time clock was set
ADC = 32  # 5 channels, 16 bits
PWM_FREQ = 64  # a GPIO each
PWM_DUTY = 96
RING = (
    128  # of UART n at RING + 4 * n: received head, tail, sent head, tail; a head is where the next byte goes
)
UART_ON = 136
EDGES = 160  # pulses that came, a GPIO each

# Then bytes, one a GPIO; number 30 is the LED of a Pico W.
GPIOS = 31
LEVEL = 1024  # what the machine drives; FLOATING where nothing does
MODE = LEVEL + 32
LATCH = MODE + 32
PULL = LATCH + 32
EXPANDERS = 1280  # MCP23017 at 0x20 + n: 22 registers, then the bytes below
CONVERTERS = EXPANDERS + 8 * 32  # ADS1115 at 0x48 + n
CHIP_BYTES = 32
CHIP_THERE = 24
CHIP_POINTER = 25
CHIP_LEVEL = 26  # two bytes: what the machine drives at the expander's pins
CHIP_DRIVEN = 28  # two bytes: where it drives at all
CHIP_COUNTS = 8  # four words of 16 bits, high byte first
UARTS = 2048  # two, each with what was received and what was sent
RING_BYTES = 512

FLOATING = 2
IN, OUT, OPEN_DRAIN, ALT = 0, 1, 2, 3
PULL_UP, PULL_DOWN = 1, 2

BEFORE, HALF, GARBAGE = 1, 2, 3

PWRON_RESET, WDT_RESET = 1, 3

SAY_RESET = b"R"
SAY_CUT = b"C"
