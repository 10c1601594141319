# SPDX-License-Identifier: Apache-2.0
"""Which cases exist, which groups they name, which of them are wanted.

Cases are found by file name and name their groups themselves, in their `_begin_test` line; nothing is
registered anywhere.  groups.md is the only list of legal groups and of their time limits.
"""
import fnmatch
import os
import re

CASE_NAME = re.compile(r'[0-9]{3}-[a-z0-9][a-z0-9-]*')
BEGIN = re.compile(r'^_begin_test[ \t]+([^#;\n]*)', re.M)
GROUP_ROW = re.compile(r'^\| `([a-z]+)` \| ([^|]*) \| ([^|]*) \|', re.M)


class UsageError(Exception):
    pass


class Group:
    def __init__(self, budget, limit):
        self.budget = _seconds(budget)
        self.limit = _seconds(limit)
        self.is_speed = limit.strip() != '-'    # exactly one of these per case


class Case:
    """One file in the case directory.  `problem` says why it cannot be run as it is, or is None."""

    def __init__(self, directory, name, groups):
        self.name = name
        self.path = os.path.join(directory, name)
        self.golden = self.path + '.out'
        with open(self.path, encoding='utf-8', errors='replace') as f:
            found = BEGIN.search(f.read())
        self.groups = found.group(1).split() if found else []
        self.problem = self._find_problem(groups)
        speed = [groups[g] for g in self.groups if g in groups and groups[g].is_speed]
        self.limit = speed[0].limit if speed else groups['quick'].limit
        self.budget = speed[0].budget if speed else None

    def _find_problem(self, groups):
        if not os.access(self.path, os.X_OK):
            return 'not executable'
        if not self.groups:
            return 'no groups: it needs a line "_begin_test GROUP..."'
        for group in self.groups:
            if group not in groups:
                return f"unknown group '{group}' (groups.md has the legal ones)"
        speed = [g for g in self.groups if groups[g].is_speed]
        if len(speed) != 1:
            names = ', '.join(g for g in groups if groups[g].is_speed)
            return f'must name exactly one of {names}; names {len(speed)}'
        return None


def _seconds(cell):
    number = re.match(r'\s*([0-9.]+) s', cell)
    return float(number.group(1)) if number else None


def read_groups(path):
    with open(path, encoding='utf-8') as f:
        groups = {name: Group(budget, limit) for name, budget, limit in GROUP_ROW.findall(f.read())}
    if 'quick' not in groups:
        raise UsageError(f"no table of groups in '{path}'")
    return groups


def discover(directory, groups):
    try:
        names = sorted(os.listdir(directory))
    except OSError as e:
        raise UsageError(f"cannot read '{directory}': {e.strerror}") from e
    return [Case(directory, n, groups) for n in names
            if CASE_NAME.fullmatch(n) and os.path.isfile(os.path.join(directory, n))]


def _matches(case, word):
    word = os.path.basename(word)
    if word.endswith('.out'):
        word = word[:-len('.out')]
    return any(fnmatch.fnmatchcase(case.name, w) for w in (word, word + '-*'))


def select(cases, words, wanted, unwanted, groups):
    """Cases named by `words` (all if none), in any group of `wanted` and in none of `unwanted`.

    A case with a problem is in every group: it must not vanish from a run because its groups are wrong.
    The group soak must be asked for, by group or by name.
    """
    for group in wanted + unwanted:
        if group not in groups:
            raise UsageError(f"unknown group '{group}'")
    for word in words:
        if not any(_matches(c, word) for c in cases):
            raise UsageError(f"no case '{word}'")
    if not words and not wanted:
        unwanted = unwanted + ['soak']

    def is_wanted(case):
        if words and not any(_matches(case, w) for w in words):
            return False
        if case.problem:
            return True
        if wanted and not set(wanted) & set(case.groups):
            return False
        return not set(unwanted) & set(case.groups)

    return [c for c in cases if is_wanted(c)]


def read_allowed_skips(path):
    """Lines `CASE-GLOB REASON`; # starts a comment.  A line without a reason is an error."""
    allowed = []
    try:
        with open(path, encoding='utf-8') as f:
            lines = f.read().splitlines()
    except FileNotFoundError:
        return allowed
    for number, line in enumerate(lines, 1):
        line = line.split('#', 1)[0].strip()
        if not line:
            continue
        glob, _, reason = line.partition(' ')
        if not reason.strip():
            raise UsageError(f"{os.path.basename(path)}:{number}: '{glob}' has no reason")
        allowed.append(glob)
    return allowed


def skip_is_allowed(name, allowed):
    return any(fnmatch.fnmatchcase(name, glob) for glob in allowed)
