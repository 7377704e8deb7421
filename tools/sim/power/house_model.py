"""A house with solar panels, a battery, an EV that comes and goes, and the grid, which gives and takes the rest.

Every power is a whole number of watts and constant within a step, so energy is an exact sum: `energy_ws` integrates the
power itself and knows nothing of any counter. The same seed, start and step give the same house, however it is asked.

Times are UTC in Unix seconds; the house lies at 35 degrees north, 139.7 east, and lives by Japan's clock.
"""

import math
import random
from array import array

# As docs/format.md numbers the quantities ("Readings body"); then what no counter of the device shows.
PV, BATTERY_CHARGED, BATTERY_DISCHARGED, EV_CHARGED, EV_DISCHARGED, BOUGHT, SOLD = range(7)
QUANTITIES = 7
LOAD = 7
FIRST_CIRCUIT = 8  # and one more for each of the others

_DAY_S = 86_400
_HOUR_S = 3_600
_CLOCK_S = 9 * _HOUR_S  # Japan's, ahead of UTC
_SUN_S = 139.7 / 15 * _HOUR_S  # mean solar time's
_LATITUDE = math.radians(35)
_TILT = math.radians(23.44)
_YEAR_DAYS = 365.25
_WINTER_SOLSTICE = 10  # days before the year's end

_SYSTEM_EFFICIENCY = 0.85  # of panels, from what they would give at 1,000 W/m2
_LEAST_SKY = 0.08  # what the thickest clouds let through
_BATTERY_EFFICIENCY = 0.95  # each way
_BATTERY_RESERVE = 0.1
_EV_FULL = 0.9  # from the sun
_EV_READY = 0.8  # from the grid, at night
_EV_LENDS = 0.6  # above this it supplies the house in the evening


class Storage:
    """What a battery holds. Powers are measured outside of it, where the losses count."""

    def __init__(self, capacity_wh, most_w, share):
        self.capacity_ws = capacity_wh * _HOUR_S
        self.most_w = most_w
        self.ws = share * self.capacity_ws

    @property
    def share(self):
        return self.ws / self.capacity_ws if self.capacity_ws else 0.0

    def charge(self, wanted_w, step_s, up_to=1.0):
        """Take as much of it as there is room for; returns the power."""
        room_w = (up_to * self.capacity_ws - self.ws) / (_BATTERY_EFFICIENCY * step_s)
        power_w = max(0, int(min(wanted_w, self.most_w, room_w)))
        self.ws += power_w * step_s * _BATTERY_EFFICIENCY
        return power_w

    def discharge(self, wanted_w, step_s, down_to):
        """Give as much of it as is there; returns the power."""
        there_w = (self.ws - down_to * self.capacity_ws) * _BATTERY_EFFICIENCY / step_s
        power_w = max(0, int(min(wanted_w, self.most_w, there_w)))
        self.ws -= power_w * step_s / _BATTERY_EFFICIENCY
        return power_w


class HouseModel:
    """One house from `start_s` on. Without a battery or an EV: 0 Wh. `circuits`: branch circuits of its panel board."""

    def __init__(
        self,
        start_s,
        seed=1,
        step_s=60,
        pv_w=5_500,
        battery_wh=9_800,
        battery_w=3_000,
        ev_wh=40_000,
        ev_w=3_000,
        circuits=0,
    ):
        self.start_s = int(start_s) // step_s * step_s
        self.step_s = step_s
        self.circuits = circuits
        self._pv_w = pv_w
        self._battery = Storage(battery_wh, battery_w, 0.5)
        self._ev = Storage(ev_wh, ev_w, 0.7)
        self._random = random.Random(f"house {seed}")
        weights = [self._random.uniform(0.3, 1.5) for _ in range(max(circuits, 1))]
        self._weights = [weight / sum(weights) for weight in weights]
        self._day = None
        self._clouds = 0.5
        self._sky = 0.5
        self._appliance = (0, 0, 0)  # circuit, W, until
        self._away = (0, 0, 0)  # from, until (seconds of the day), Wh that the trip takes
        self._ev_home = True
        size = FIRST_CIRCUIT + circuits
        self._powers = [array("i") for _ in range(size)]
        self._sums = [array("q", [0]) for _ in range(size)]  # W times steps, before each step

    # Looking

    def power_w(self, quantity, at_s):
        """The power at a time: of a quantity, LOAD, or FIRST_CIRCUIT and on. From `at_s` to the end of its step."""
        step = self._step_at(at_s)
        self._run_to(step)
        return self._powers[quantity][step]

    def step_end_s(self, at_s):
        """When the power can change next."""
        return self.start_s + (self._step_at(at_s) + 1) * self.step_s

    def energy_ws(self, quantity, from_s, to_s):
        """The integral of the power in watt-seconds; exact where the times are whole numbers."""
        return self._sum(quantity, to_s) - self._sum(quantity, from_s)

    def energy_wh(self, quantity, from_s, to_s):
        """The same in Wh."""
        return self.energy_ws(quantity, from_s, to_s) / _HOUR_S

    def _sum(self, quantity, to_s):
        step = self._step_at(to_s)
        self._run_to(step)
        into_s = to_s - self.start_s - step * self.step_s
        return self._sums[quantity][step] * self.step_s + self._powers[quantity][step] * into_s

    def _step_at(self, at_s):
        if at_s < self.start_s:
            raise ValueError(f"the house begins at {self.start_s}, and {at_s} is before that")
        return int(at_s - self.start_s) // self.step_s

    # Living

    def _run_to(self, step):
        for number in range(len(self._powers[0]), step + 1):
            powers = self._live(self.start_s + number * self.step_s)
            for quantity, power_w in enumerate(powers):
                self._powers[quantity].append(power_w)
                self._sums[quantity].append(self._sums[quantity][number] + power_w)

    def _live(self, now_s):
        """The powers of the step that begins now, in the order of their numbers."""
        step_s = self.step_s
        day, second = divmod(now_s + _CLOCK_S, _DAY_S)
        hour = second / _HOUR_S
        if day != self._day:
            self._new_day(day)
        self._drive(second)
        circuits = self._loads(now_s, day, hour)
        load = sum(circuits)
        pv = self._sun(now_s)
        left = pv - load
        charged = discharged = ev_charged = ev_discharged = 0
        if left > 0:
            charged = self._battery.charge(left, step_s)
            left -= charged
            if self._ev_home:
                ev_charged = self._ev.charge(left, step_s, _EV_FULL)
                left -= ev_charged
        else:
            discharged = self._battery.discharge(-left, step_s, _BATTERY_RESERVE)
            left += discharged
            if self._ev_home and 17 <= hour < 23:
                ev_discharged = self._ev.discharge(-left, step_s, _EV_LENDS)
                left += ev_discharged
        if self._ev_home and 1 <= hour < 5 and not ev_charged:
            ev_charged = self._ev.charge(self._ev.most_w, step_s, _EV_READY)
            left -= ev_charged
        bought, sold = max(-left, 0), max(left, 0)
        return (
            pv,
            charged,
            discharged,
            ev_charged,
            ev_discharged,
            bought,
            sold,
            load,
            *(circuits if self.circuits else ()),
        )

    def _new_day(self, day):
        self._day = day
        self._clouds = self._random.random() ** 1.5  # more good days than bad ones
        weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
        if not weekend:
            leaves, stays, takes = self._random.gauss(7.7, 0.3), self._random.gauss(10.5, 0.7), (3_000, 9_000)
        elif self._random.random() < 0.6:
            leaves, stays, takes = self._random.gauss(11, 1.5), self._random.uniform(2, 6), (2_000, 14_000)
        else:
            leaves, stays, takes = 0, 0, (0, 0)
        self._away = leaves * _HOUR_S, min((leaves + stays) * _HOUR_S, _DAY_S), self._random.uniform(*takes)

    def _drive(self, second):
        """The EV leaves, or is back with what the trip has left in it."""
        leaves, returns, takes_wh = self._away
        home = not leaves <= second < returns
        if home and not self._ev_home:
            self._ev.ws = max(self._ev.ws - takes_wh * _HOUR_S, 0.1 * self._ev.capacity_ws)
        self._ev_home = home

    def _sun(self, now_s):
        """What the panels give: Haurwitz's clear sky by the sun's height, and the clouds of the day before it."""
        self._sky += (1 - 0.95 * self._clouds - self._sky) * 0.05 + self._random.gauss(0, 0.05) * self._clouds
        self._sky = min(max(self._sky, _LEAST_SKY), 1)
        days, second = divmod(now_s + _SUN_S, _DAY_S)
        turn = 2 * math.pi * ((days + _WINTER_SOLSTICE) % _YEAR_DAYS) / _YEAR_DAYS
        declination = -_TILT * math.cos(turn)
        hour_angle = 2 * math.pi * (second / _DAY_S - 0.5)
        height = math.sin(_LATITUDE) * math.sin(declination)
        height += math.cos(_LATITUDE) * math.cos(declination) * math.cos(hour_angle)
        if height <= 0.01:
            return 0
        clear_w_m2 = 1_098 * height * math.exp(-0.057 / height)
        return int(self._pv_w * _SYSTEM_EFFICIENCY * clear_w_m2 / 1_000 * self._sky)

    def _loads(self, now_s, day, hour):
        """Of each circuit; of one where the house has no panel board that tells them apart."""
        living = 180 + 600 * _bump(hour, 7.2, 0.8) + 250 * _bump(hour, 12.3, 0.7) + 900 * _bump(hour, 19.8, 1.9)
        season = math.cos(2 * math.pi * ((day + _WINTER_SOLSTICE) % _YEAR_DAYS) / _YEAR_DAYS)
        if season > 0.3:
            air = 900 * season * (_bump(hour, 7, 1.5) + _bump(hour, 20, 2.5))
        else:
            air = 900 * max(-season - 0.3, 0) * (_bump(hour, 14.5, 3) + _bump(hour, 20, 2))
        rest_w = living * self._random.uniform(0.85, 1.2)
        loads = [int(rest_w * weight) for weight in self._weights]
        loads[0] += int(air)
        circuit, power_w, until_s = self._appliance
        if now_s >= until_s:
            power_w = 0
            if self._random.random() < self.step_s / _HOUR_S * (0.1 if hour < 6 else 0.9):
                circuit = self._random.randrange(len(loads))
                power_w = self._random.choice((600, 1_200, 1_400, 2_000))
                until_s = now_s + self._random.randint(120, 2_400)
            self._appliance = circuit, power_w, until_s
        loads[circuit] += power_w
        return loads


def _bump(hour, centre, width):
    return math.exp(-(((hour - centre) / width) ** 2) / 2)
