module;
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <mutex>
#include <new>
#include <ostream>
#include <stdexcept>
#include <string_view>

#include "characters.h"
module buffers.usage;

namespace buffers {

namespace {

meter_tally& operator+=(meter_tally& to, const meter_tally& more) noexcept {
  // Requests that failed may come to more than there are numbers for.
  if (__builtin_add_overflow(to.bytes, more.bytes, &to.bytes)) to.bytes = std::numeric_limits<std::ptrdiff_t>::max();
  to.calls += more.calls;
  return to;
}

void raise(meter_tally& peak, const meter_tally& to) noexcept {
  peak.bytes = std::max(peak.bytes, to.bytes);
  peak.calls = std::max(peak.calls, to.calls);
}

// What two times under the same name amount to.
void add(meter_stats& to, const meter_stats& more) noexcept {
  to.live += more.live;
  raise(to.peak, more.peak);
  to.total += more.total;
  to.failed += more.failed;
  to.padding += more.padding;
  to.entries += more.entries;
}

// A node and its name, in one block.
template <class Node>
std::size_t node_bytes(std::string_view name) noexcept {
  return sizeof(Node) + name.size();
}

// A line of the report; columns are cut off rather than shifted.
class line {
 public:
  // cppcheck-suppress uninitMemberVar ; `used_` characters are written
  explicit line(std::ostream& os) : os_(os) {}
  line(const line&) = delete;
  void write() {
    text_[used_++] = '\n';
    os_.write(text_, static_cast<std::streamsize>(used_));
  }
  // As many characters as the width.
  void left(std::string_view text, std::size_t width) {
    for (; width != 0 && !text.empty(); --width) {
      const std::string_view next = detail::take_character(text, "?");
      if (next.size() > room()) return;
      std::ranges::copy(next, text_ + used_);
      used_ += next.size();
    }
    width = std::min(width, room());
    std::memset(text_ + used_, ' ', width);
    used_ += width;
  }
  void right(std::string_view text, std::size_t width) {
    left({}, text.size() + 1 < width ? width - text.size() : 1);
    left(text, text.size());
  }
  void right(std::ptrdiff_t number, std::size_t width) {
    char digits[24];
    right({digits, std::to_chars(digits, digits + sizeof digits, number).ptr}, width);
  }
  void bar(std::size_t length) {
    length = std::min(length, room());
    std::memset(text_ + used_, '#', length);
    used_ += length;
  }

 private:
  std::size_t room() const noexcept { return sizeof text_ - 1 - used_; }
  std::ostream& os_;
  char text_[320];
  std::size_t used_ = 0;
};

constexpr std::size_t name_width = 24, number_width = 14, call_width = 11, bar_width = 40;

void write_row(std::ostream& os, std::string_view name, std::size_t depth, const meter_stats& s) {
  line row(os);
  const std::size_t indent = std::min(2 * depth, name_width / 2);
  row.left({}, indent);
  row.left(name, name_width - indent);
  for (std::ptrdiff_t bytes : {s.live.bytes, s.peak.bytes, s.total.bytes, s.padding}) row.right(bytes, number_width);
  for (std::ptrdiff_t calls : {s.live.calls, s.total.calls, s.failed.calls, static_cast<std::ptrdiff_t>(s.entries)})
    row.right(calls, call_width);
  row.write();
}

void write_sizes(std::ostream& os, const std::array<std::size_t, 64>& sizes) {
  const std::size_t most = *std::ranges::max_element(sizes);
  if (most == 0) return;
  line(os).write();
  line head(os);
  head.left("block size, bytes", name_width);
  head.right("allocated", number_width);
  head.write();
  std::size_t first = 0, last = sizes.size() - 1;
  while (sizes[first] == 0) ++first;
  while (sizes[last] == 0) --last;
  for (std::size_t i = first; i <= last; ++i) {
    char range[48];
    char* end = std::to_chars(range, range + 22, std::size_t{1} << i).ptr;
    *end++ = '.';
    *end++ = '.';
    end = std::to_chars(end, range + sizeof range, (std::size_t{2} << i) - 1).ptr;
    line row(os);
    row.left({range, end}, name_width);
    row.right(static_cast<std::ptrdiff_t>(sizes[i]), number_width);
    row.left("", 2);
    // Never too short to be seen.
    if (sizes[i] != 0)
      row.bar(1 +
              static_cast<std::size_t>(static_cast<double>(sizes[i]) / static_cast<double>(most) * (bar_width - 1)));
    row.write();
  }
}

}  // namespace

meter_resource::meter_resource(std::pmr::memory_resource* upstream, std::pmr::memory_resource* notes,
                               used_function used) noexcept
    : upstream_(upstream), notes_(notes), used_(used) {
  all_.now.entries = 1;
  if (used_ != nullptr) all_.taken_before = taken_ = static_cast<std::ptrdiff_t>(used_(*upstream_));
}

meter_resource::~meter_resource() {
  for (node* at = &all_;;) {  // leaves first
    if (node* const inner = at->first) {
      at = inner;
      continue;
    }
    node* const outer = at->parent;
    if (outer == nullptr) return;
    outer->first = at->next;
    notes_->deallocate(at, node_bytes<node>(at->name), alignof(node));
    at = outer;
  }
}

// --- counting --------------------------------------------------------------------------------------------------------

void* meter_resource::answer(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes != 0) count_failed(bytes);
  return detail::answer(bytes, alignment);
}

void meter_resource::note_taken(std::size_t bytes, std::size_t alignment, int sign) noexcept {
  // To a multiple that may be more than there is: then only the bytes.
  const std::size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
  const bool is_possible = rounded >= bytes && rounded <= detail::largest_request;
  taken_ += sign * static_cast<std::ptrdiff_t>(is_possible ? rounded : bytes);
}

void meter_resource::count_allocated(std::size_t bytes, std::size_t alignment) noexcept {
  const meter_tally one{static_cast<std::ptrdiff_t>(bytes), 1};
  const std::size_t used = used_ != nullptr ? used_(*upstream_) : 0;
  const std::lock_guard turn(mutex_);
  if (used_ != nullptr)
    taken_ = static_cast<std::ptrdiff_t>(used);
  else
    note_taken(bytes, alignment, 1);
  ++histogram_[static_cast<std::size_t>(std::bit_width(bytes) - 1)];
  for (node* n = open_; n != nullptr; n = n->parent) {
    n->now.live += one;
    raise(n->now.peak, n->now.live);
    n->now.total += one;
  }
}

void meter_resource::count_deallocated(std::size_t bytes, std::size_t alignment) noexcept {
  const meter_tally one{-static_cast<std::ptrdiff_t>(bytes), -1};
  const std::lock_guard turn(mutex_);
  if (used_ == nullptr) note_taken(bytes, alignment, -1);
  for (node* n = open_; n != nullptr; n = n->parent) n->now.live += one;
  if constexpr (detail::hardened)
    if (all_.now.live.bytes < 0 || all_.now.live.calls < 0)
      detail::violate("deallocate: more than this meter_resource has handed out");
}

void meter_resource::look_at_used() noexcept {
  const std::size_t used = used_(*upstream_);
  const std::lock_guard turn(mutex_);
  taken_ = static_cast<std::ptrdiff_t>(used);
}

void meter_resource::count_failed(std::size_t bytes) noexcept {
  const meter_tally one{static_cast<std::ptrdiff_t>(std::min(bytes, detail::largest_request)), 1};
  const std::lock_guard turn(mutex_);
  for (node* n = open_; n != nullptr; n = n->parent) n->now.failed += one;
}

void meter_resource::reset_peak() noexcept {
  const std::lock_guard turn(mutex_);
  all_.now.peak = all_.now.live;
}

// --- names -----------------------------------------------------------------------------------------------------------

meter_resource::node* meter_resource::begin(std::string_view name) {
  const std::lock_guard turn(mutex_);
  node** at = &open_->first;
  while (*at != nullptr && (*at)->name != name) at = &(*at)->next;
  if (*at == nullptr) {
    void* const memory = notes_->allocate(node_bytes<node>(name), alignof(node));
    node* const made = ::new (memory) node;
    char* const copy = static_cast<char*>(memory) + sizeof(node);
    if (!name.empty()) std::memcpy(copy, name.data(), name.size());
    made->name = {copy, name.size()};
    made->parent = open_;
    *at = made;
  }
  open_ = *at;
  open_->now = {};
  open_->now.entries = 1;
  open_->taken_before = taken_;
  return open_;
}

meter_stats meter_resource::end() noexcept {
  node& ended = *open_;
  const meter_stats now = current(ended);
  add(ended.before, now);
  ended.now = {};
  open_ = ended.parent;
  return now;
}

meter_stats meter_resource::pop() {
  const std::lock_guard turn(mutex_);
  if (open_ == &all_) throw order_error("buffers: meter_resource::pop: no name is open");
  return end();
}

void meter_resource::end_through(const node* begun) noexcept {
  const std::lock_guard turn(mutex_);
  if (!is_open(*begun)) return;  // popped already
  while (open_ != begun) end();
  end();
}

bool meter_resource::is_open(const node& n) const noexcept {
  const node* at = open_;
  while (at != nullptr && at != &n) at = at->parent;
  return at != nullptr;
}

meter_stats meter_resource::current(const node& n) const noexcept {
  meter_stats now = n.now;
  now.padding = taken_ - n.taken_before - now.live.bytes;
  return now;
}

meter_stats meter_resource::in_all(const node& n) const noexcept {
  meter_stats sum = n.before;
  if (is_open(n)) add(sum, current(n));
  return sum;
}

// --- reading ---------------------------------------------------------------------------------------------------------

meter_stats meter_resource::stats() const noexcept {
  const std::lock_guard turn(mutex_);
  return current(all_);
}

std::size_t meter_resource::padding() const noexcept {
  return static_cast<std::size_t>(std::max<std::ptrdiff_t>(stats().padding, 0));
}

std::array<std::size_t, 64> meter_resource::histogram() const noexcept {
  const std::lock_guard turn(mutex_);
  return histogram_;
}

// A name may contain a slash: it is the whole of the path, or all up to one of its slashes.
const meter_resource::node* meter_resource::find(const node& outer, std::string_view path) noexcept {
  if (path.empty()) return &outer;
  for (const node* inner = outer.first; inner != nullptr; inner = inner->next) {
    const std::size_t length = inner->name.size();
    if (!path.starts_with(inner->name) || (path.size() != length && path[length] != '/')) continue;
    if (const node* const found = find(*inner, path.substr(std::min(path.size(), length + 1)))) return found;
  }
  return nullptr;
}

meter_stats meter_resource::stats(std::string_view path) const {
  const std::lock_guard turn(mutex_);
  const node* const found = find(all_, path);
  if (found == nullptr) throw std::invalid_argument("buffers: meter_resource::stats: no such name has been pushed");
  return found == &all_ ? current(all_) : in_all(*found);
}

void meter_resource::report(std::ostream& os) const {
  line head(os);
  head.left("bytes and calls", name_width);
  for (std::string_view column : {"live", "peak", "total", "padding"}) head.right(column, number_width);
  for (std::string_view column : {"blocks", "allocated", "failed", "entries"}) head.right(column, call_width);
  head.write();
  const node* at = &all_;
  for (std::size_t depth = 0; at != nullptr;) {
    std::unique_lock turn(mutex_);  // not while writing; nodes stay where they are
    const meter_stats s = at == &all_ ? current(all_) : in_all(*at);
    const node* next = at->first;
    std::size_t next_depth = depth + 1;
    for (const node* n = at; next == nullptr && n != nullptr; n = n->parent) {
      --next_depth;
      next = n->next;
    }
    turn.unlock();
    write_row(os, at->name, depth, s);
    at = next;
    depth = next_depth;
  }
  write_sizes(os, histogram());
}

}  // namespace buffers
