#!/usr/bin/env python3
"""Makes docs/reference.md from the `///` comments of the sources.

    docs/make_reference.py            writes it
    docs/make_reference.py --check    fails when it is not what the sources say, or an exported type has no comment
"""
import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
MODULES = ["core", "resources", "threads", "tensor", "usage", "testing"]


def end_of(text, at):
    """The place behind the bracket that closes the one at `at`; strings, characters and comments hold no brackets."""
    depth = 0
    while at < len(text):
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif text[at] in "\"'" and not (text[at] == "'" and text[at - 1].isalnum()):
            quote, at = text[at], at + 1
            while text[at] != quote:
                at += 2 if text[at] == "\\" else 1
        elif text[at] in "{([":
            depth += 1
        elif text[at] in "})]":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    raise ValueError("a bracket is not closed")


def without_comments(text):
    return re.sub(r"\s*//[^\n]*", "", text).strip()


def is_type(head):
    without_arguments = re.sub(r"template\s*<.*?>\s*(?=class|struct|requires|\[)", "", head, flags=re.S)
    return re.match(r"(?:requires\b.*?)?(?:class|struct|union|enum class|enum)\b", without_arguments, re.S) is not None


# A requires-expression, not a clause: the braces that follow are its own.
REQUIRES = re.compile(r"(\brequires|&&|\|\||[=(!])\s*requires\s*(\([^)]*\))?$")


def declarations(text, is_public=True, trailing=False):
    """(comment, declaration, body) of what is declared in the text; the body is a type's, else None.

    With `trailing`, a variable without a comment has the one that stands behind it.
    """
    at, comment, gap = 0, [], False
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        line = text[at:line_end].strip()
        if not line:
            gap, at = True, line_end + 1
            if comment and not text[at:].lstrip().startswith("///"):
                comment = []
            continue
        if line.startswith("///"):
            comment.append(line[3:].strip())
            at = line_end + 1
            continue
        if line.startswith("//") or line.startswith("#"):
            at = line_end + 1
            continue
        label = re.match(r"\s*(public|private|protected):", text[at:])
        if label:
            is_public = label.group(1) == "public"
            at += label.end()
            continue
        # A declaration: up to its semicolon or its body.
        start = at
        is_concept = False
        while text[at] not in ";{" or (text[at] == "{" and not is_concept and REQUIRES.search(text[start:at].rstrip())):
            if text.startswith("//", at):
                at = text.index("\n", at)
            elif text[at] in "([{":
                at = end_of(text, at)
            else:
                is_concept = is_concept or text.startswith("concept ", at)
                at += 1
        head = without_comments(text[start:at])
        body = None
        if text[at] == "{":
            after = end_of(text, at)
            of_object = re.fullmatch(r"inline constexpr (struct (\w+))", head)
            if of_object:  # a type with its only object
                members_of = " ".join(without_comments(text[at:after]).split())
                at = text.index(";", after)
                head = f"inline constexpr {of_object.group(2)} {text[after:at].strip().removesuffix('{}')}"
                if is_public:
                    yield comment, head, None, gap
                is_short = len('{ }') < len(members_of) < 80
                comment, gap, head = [], not is_short, of_object.group(1) + (f" {members_of}" if is_short else "")
                at += 1
            elif is_type(head):
                body = text[at + 1:after - 1]
                at = text.index(";", after) + 1
            elif is_concept or re.search(r"=[^()]*$", head) or re.fullmatch(r"(?!namespace\b)[^()]*\w", head):
                at = after
                while text[at] != ";":
                    at = end_of(text, at) if text[at] in "{([" else at + 1
                whole = without_comments(text[start:at])  # of a concept or a variable
                is_long = not is_concept and len(whole) > 240
                head = re.sub(r"\s*=[^=]*$", "", head) if is_long else re.sub(r"(?<!= )\{\}$", "", whole)
                at += 1
            else:
                at = after
                while re.match(r"\s*[,{]", text[at:]):  # the list of members that a constructor initialises
                    at = end_of(text, text.index("{", at))
                rest = re.match(r"\s*;", text[at:])
                at += rest.end() if rest else 0
        else:
            at += 1
        rest = re.match(r"[ \t]*//[^\n]*(\n {20,}//[^\n]*)*", text[at:])  # going on in the same column
        if trailing and rest and not comment and "(" not in head:
            comment = [line.strip().lstrip("/<").strip() for line in rest.group(0).split("\n")]
        if is_public:
            yield comment, head, body, gap
        comment, gap = [], False
        at += rest.end() if rest else 0


# What is public for other parts of the library only.
INTERNAL = re.compile(r"\b(node|write|release_block|view_of_new|view_of_reshaped|drop_views|(open|close)_scope)\(|\bscope_mark\b|"
                      r"\b(expression_tag|borrows_memory) =|\bdetail::(uninitialised|block)\b")


def is_shown(head):
    hidden = re.search(r"= delete$|^static_assert|^friend|^(inline |constexpr )*~|^import|^template<>", head)
    return not hidden and not INTERNAL.search(tidy(head))


def tidy(head):
    head = re.sub(r"\[\[[^\]]*\]\]\s*|, private detail::[\w:]+(<\w+>)?", "", re.sub(r",\s+private", ", private", head))
    head = re.sub(r"\bdetail::resource_base<.*>", "std::pmr::memory_resource", head)
    if re.search(r"\bconcept \w+ =", head):
        return "\n".join(line.rstrip() for line in head.split("\n"))
    if "(" in head:
        head = re.sub(r"(?<!if )\b(inline|constexpr) (?=\S)", "", head)
    head = head.replace("inline constexpr", "constexpr")
    if not is_type(head):  # without the list of members that a constructor initialises
        head = re.sub(r"(?<=[)>\w])\s+:\s+\w[\w:]*(<\w+>)?([({].*)?$", "", head, flags=re.S)
    return re.sub(r"\(\s+", "(", re.sub(r"\s+", " ", head)).strip()


def name_of(head):
    head = re.sub(r"\[\[[^\]]*\]\]\s*|\{[^{}]*\}$", "", head)
    if head.startswith("template"):
        depth, at = 0, head.index("<")
        for at in range(at, len(head)):
            depth += {"<": 1, ">": -1}.get(head[at], 0)
            if depth == 0:
                break
        head = head[at + 1:].strip()
    head = re.sub(r"^requires\b[^\n]*\n", "", head)
    for pattern in (r"(?:class|struct|union|concept|enum class|enum)\s+(\w+)", r"using\s+(\w+)\s*=", r"\b(operator\s*[^\s(]+)\s*\(",
                    r"(?!decltype\b|noexcept\b|requires\b|operator\b)\b(\w+)\s*\((?!auto\))", r"(\w+)(?:<[^=]*>)?\s*(?:=|$)"):
        found = re.search(pattern, head)
        if found:
            return found.group(1)
    return None


def exported(text):
    """The insides of the file's `export namespace buffers { ... }`, one after the other."""
    for found in re.finditer(r"^export namespace buffers \{", text, re.M):
        yield text[found.end():end_of(text, found.end() - 1) - 1]


def opening(text):
    """The comment that a file begins with."""
    lines = re.match(r"(?://[^\n]*\n)*", text).group(0).splitlines()
    return [line[3:] if line.startswith("// ") else line[2:] for line in lines]


def is_code(part):
    """Whether it is an example, which the tests compile and run."""
    return re.search(r"^(?!//)[^/]*\bbuffers::.*;$", part, re.S | re.M) is not None and not part.startswith("//")


def as_markdown(lines):
    """Prose stays prose; pictures, tables and code, which are indented, become blocks."""
    out, block = [], []
    for line in lines + [None]:
        if line is not None and (line.startswith("  ") or (block and not line)):
            block.append(line)
            continue
        parts = [textwrap.dedent(part) for part in "\n".join(block).strip("\n").split("\n\n")] if block else []
        for at, part in enumerate(parts):
            if is_code(part) and at + 1 < len(parts) and is_code(parts[at + 1]):
                parts[at + 1] = part + "\n\n" + parts[at + 1]
            else:
                out += ["```cpp" if is_code(part) else "```text", *part.split("\n"), "```", ""]
        block = []
        out.append(line or "")
    return out


def is_class(head):
    return re.search(r"\bclass\s+(\[\[\w+\]\]\s+)?\w+", re.sub(r"template\s*<.*?>", "", head)) is not None


def members(head, body, indent=""):
    shown = set()
    for comment, head, inside, _ in declarations(body, is_public=not is_class(head), trailing=True):
        # What a resource of the library is asked besides is the library's affair: the same, for another.
        text = re.sub(r" requires detail::scoped<R>$", "", tidy(head))
        if is_shown(head) and not (text in shown and not comment):
            shown.add(text)
            yield f"{indent}- `{text}`" + (f"  \n{indent}  {' '.join(comment)}" if comment else "")
            if inside is not None:
                yield from members(head, inside, indent + "  ")


def partition(path):
    text = path.read_text()
    out = []
    for part in exported(text):
        for comment, head, body, gap in declarations(part):
            if not is_shown(head) or (not comment and (gap or "= true" in head or re.search(r"\w<.*> =", head))):
                continue
            if body is not None and name_of(head):
                is_enum = head.lstrip().startswith("enum")
                values = " {" + body + "}" if is_enum else ""
                out += ["", f"#### {name_of(head)}", "", "```c++", tidy(head) + values, "```", "", " ".join(comment), ""]
                if not is_enum:
                    out += members(head, body)
            elif comment:
                out += ["", f"#### {name_of(head)}", "", "```c++", tidy(head), "```", "", " ".join(comment)]
            else:  # another overload of the one above
                out.insert(len(out) - 3, tidy(head))
    return text, out


def sources():
    for module in MODULES:
        folder = ROOT / "modules" / module
        if folder.is_dir():
            yield module, sorted(folder.glob("*.cppm"))


def contents(text):
    """For each module its names, linked to where they stand first: a heading's address is its text, with a number from the second one on."""
    lists, seen = {}, {}
    for heading in re.finditer(r"^(#+) (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M):
        level, title = len(heading[1]), heading[2]
        address = re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))
        number = seen[address] = seen.get(address, -1) + 1
        if level == 2:
            links = lists[title] = {}
        elif level == 4:
            links.setdefault(title, f"[`{title}`](#{address}{f'-{number}' if number else ''})")
    return "\n".join(f"- {module}: {' '.join(links.values())}" for module, links in lists.items())


def reference():
    out = ["# Reference", "", "Made from the comments in `modules/` by `docs/make_reference.py`. All names are in namespace `buffers`;",
           "`import buffers;` brings all modules but `buffers.testing`. The examples leave out the usual standard includes; the tests",
           "compile and run them.", ""]
    for module, files in sources():
        out += [f"## buffers.{module}", ""]
        for path in files:
            text, entries = partition(path)
            if entries:
                out += [f"### {path.stem}", "", *as_markdown(opening(text)), *entries, ""]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(out)).rstrip("\n") + "\n"
    return text.replace("compile and run them.\n", "compile and run them.\n\n" + contents(text) + "\n", 1)


def without_comment():
    """The exported types that say nothing, and are therefore not in the reference."""
    for _, files in sources():
        for path in files:
            for part in exported(path.read_text()):
                for comment, head, body, _ in declarations(part):
                    if body is not None and not comment and is_shown(head) and "::" not in tidy(head).split(" : ")[0].rpartition(" ")[2]:
                        yield f"{path.relative_to(ROOT)}: {name_of(head)}"


if sys.argv[1:] == ["--check"]:
    if silent := list(without_comment()):
        sys.exit("no /// comment in front of " + ", ".join(silent))
    if REFERENCE.read_text() != reference():
        sys.exit("docs/reference.md is not what the sources say: run docs/make_reference.py")
else:
    REFERENCE.write_text(reference())
