module;
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
module buffers.resources;

namespace buffers::detail {

namespace {

// Holes lie in memory that nobody else may touch, so AddressSanitizer and Valgrind must let these through.
[[gnu::no_sanitize_address]] hole read(const hole* at) noexcept {
  const unwatched here;
  return *at;
}
[[gnu::no_sanitize_address]] void write(hole* at, hole value) noexcept {
  const unwatched here;
  *at = value;
}

[[gnu::no_sanitize_address]] std::uint64_t read_word(std::uintptr_t at) noexcept {
  const unwatched here;
  return *reinterpret_cast<const volatile std::uint64_t*>(at);
}
[[gnu::no_sanitize_address]] void write_word(std::uintptr_t at, std::uint64_t value) noexcept {
  const unwatched here;
  *reinterpret_cast<volatile std::uint64_t*>(at) = value;
}

// What a freed block at this address starts with in the hardened build.
std::uint64_t freed_sign(std::uintptr_t first) noexcept { return 0xb10cf4eeb10cf4ee ^ (first * 0x9e3779b97f4a7c15); }

hole* hole_at(std::uintptr_t first) noexcept { return reinterpret_cast<hole*>(first); }

}  // namespace

void* region::take_aligned(std::size_t bytes, std::size_t alignment) noexcept {
  const std::uintptr_t end = granule_end(top), before = end | (alignment - 1);
  if (before >= last || bytes - 1 >= last - before) return nullptr;
  if (before != end) {  // the padding is a hole, so that it goes when the block does
    write(hole_at(end + 1), {holes, before - end});
    holes = hole_at(end + 1);
  }
  top = before + bytes;
  if constexpr (hardened) note_taken(before + 1);
  unpoison_in_program(reinterpret_cast<void*>(before + 1), bytes);
  return reinterpret_cast<void*>(before + 1);
}

bool region::is_live(std::span<const std::byte> block) const noexcept {
  const std::uintptr_t first = address(block.data()), end = first + block.size() - 1;
  if (first <= base || first > top || end > top || end < first) return false;
  if (granule_end(first - 1) != first - 1) return false;  // no block begins there
  if (short_granule_dropped && granule_end(end) > last) return false;
  for (const hole* h = holes; h != nullptr; h = read(h).below)
    if (end >= address(h) && first < address(h) + read(h).bytes) return false;
  return true;
}

void region::drop(std::span<std::byte> block, std::uintptr_t floor) noexcept {
  poison_in_program(block.data(), block.size());
  const std::uintptr_t first = address(block.data());
  if (is_newest(block.data(), block.size()) && first > floor) {
    top = first - 1;
    reclaim(floor);
    return;
  }
  if (is_short_granule(first)) {
    short_granule_dropped = true;
    return;
  }
  hole* above = nullptr;
  hole* below = holes;
  while (below != nullptr && address(below) > first) {
    above = below;
    below = read(below).below;
  }
  write(hole_at(first), {below, granule_end(first + block.size() - 1) - (first - 1)});
  if (above == nullptr)
    holes = hole_at(first);
  else
    write(above, {hole_at(first), read(above).bytes});
}

void region::reclaim(std::uintptr_t floor) noexcept {
  const std::uintptr_t short_granule = last & ~(granule - 1);
  if (short_granule_dropped && top >= short_granule && short_granule > floor) {
    short_granule_dropped = false;
    top = short_granule - 1;
  }
  while (holes != nullptr && address(holes) > floor && address(holes) + read(holes).bytes - 1 == granule_end(top)) {
    top = address(holes) - 1;
    holes = read(holes).below;
  }
}

void region::forget_holes() noexcept {
  if (top < (last & ~(granule - 1))) short_granule_dropped = false;
  while (holes != nullptr && address(holes) > top) holes = read(holes).below;
  // Padding that began where a block from before the checkpoint had been given back.
  if (holes != nullptr && address(holes) + read(holes).bytes - 1 > granule_end(top))
    write(holes, {read(holes).below, granule_end(top) - (address(holes) - 1)});
}

void region::note_taken(std::uintptr_t first) noexcept {
  note_newest(first);
  if (last - first >= 7) write_word(first, 0);
}

// The sizes of blocks are not kept, so this is what is known of them: the newest one ends at top, a younger one begins
// behind an older one, and AddressSanitizer knows which bytes were handed out.
bool region::has_size_of_a_block(std::span<const std::byte> block) const noexcept {
  [[maybe_unused]] const std::uintptr_t first = address(block.data()), end = first + block.size() - 1;
#if BUFFERS_HARDENED
  if (newest <= top && (first == newest ? end != top : first < newest && end >= newest)) return false;
#endif
  // It knows of eight bytes at a time, and the last ones may be in part somebody else's. Of memory on the stack it
  // forgets all when an exception is thrown: then the free memory at the end is not poisoned either, if there is any to
  // look at.
  const bool remembers = is_sanitized() && granule_end(top) < last && is_poisoned(reinterpret_cast<void*>(last));
  const bool next_is_known = granule_end(end) != end && ((end + 1) | 7) <= last;
  return !is_poisoned(&block.back()) && (!remembers || !next_is_known || is_poisoned(&block.back() + 1));
}

const char* region::note_freed(std::span<const std::byte> block) noexcept {
  const std::uintptr_t first = address(block.data());
  const bool is_new = last - first < 7 || read_word(first) != freed_sign(first);  // a last granule may be too short
  if (!is_live(block) || is_poisoned(block.data()) || !is_new)
    return "deallocate: the block is not from this resource, or was given back before";
  if (!has_size_of_a_block(block)) return "deallocate: the size is not the one that the block was allocated with";
  if (last - first >= 7) write_word(first, freed_sign(first));
  return nullptr;
}

std::uint64_t checkpoint_order::first_serial() noexcept {
  // 2^24 resources with 2^40 checkpoints each before a number comes again.
  static constinit std::atomic<std::uint64_t> resources{0};
  return (resources.fetch_add(1, std::memory_order_relaxed) + 1) << 40;
}

namespace {

scope_mark* mark_of(std::uintptr_t link) noexcept { return reinterpret_cast<scope_mark*>(link & ~std::uintptr_t{1}); }
bool is_disturbed(std::uintptr_t link) noexcept { return (link & 1) != 0; }

}  // namespace

// Completes the marks of the open scopes: up to now, none of them has seen another serial or another slab.
void checkpoint_order::disturb(void* at) noexcept {
  for (std::uintptr_t* link = &open; *link != 0 && !is_disturbed(*link);) {
    scope_mark* const s = mark_of(*link);
    s->serial = newest;
    s->at = at;
    *link |= 1;
    link = &s->outer;
  }
}

bool checkpoint_order::close_scope_slow(scope_mark& opened, void* at) noexcept {
  if (hardened && mark_of(open) != &opened) violate("scopes are closed out of order");
  disturb(at);
  std::uintptr_t link = open;
  while (link != 0 && mark_of(link) != &opened) link = mark_of(link)->outer;
  if (link == 0) return false;
  open = opened.outer;
  went_back_to(opened.serial);
  return true;
}

bool checkpoint_order::opened_in(const void* slab, const void* current) const noexcept {
  return open != 0 && slab == (is_disturbed(open) ? mark_of(open)->at : current);
}

void checkpoint_order::move_tops(std::uintptr_t top) noexcept {
  for (std::uintptr_t link = open; link != 0; link = mark_of(link)->outer) mark_of(link)->top = top;
}

std::uintptr_t checkpoint_order::floor(const void* slab, const void* current) const noexcept {
  if (opened_in(slab, current)) return mark_of(open)->top;
  if (slab == current) return 0;  // the scopes outside began no later
  std::uintptr_t link = open;
  while (link != 0 && (!is_disturbed(link) || mark_of(link)->at != slab)) link = mark_of(link)->outer;
  return link != 0 ? mark_of(link)->top : 0;
}

void checkpoint_order::require_valid(std::uint64_t serial) const {
  require_since_reset(serial);
  if (open != 0 && (!is_disturbed(open) || serial <= mark_of(open)->serial)) throw_scope_is_younger();
  require_alive(serial);
}

void checkpoint_order::require_no_scope() const {
  if (open != 0) throw_scope_is_open();
}

void serial_history::throw_older_than_a_reset() { throw order_error("buffers: this checkpoint is older than a reset"); }
void serial_history::throw_restored_past() {
  throw order_error("buffers: an older checkpoint has been restored since this one was made");
}
void throw_scope_is_younger() { throw order_error("buffers: a scope that began after this checkpoint is still open"); }
void throw_scope_is_open() { throw order_error("buffers: a scope of this resource is still open"); }
void throw_reshaped_until_reset() {
  throw order_error("buffers: allocate: the buffer is reshaped until its next reset");
}
void throw_reshape_of_a_used_buffer() {
  throw order_error("buffers: reshape_buffer: the buffer has allocations; reset it first");
}
void throw_reshape_alignment() {
  throw std::invalid_argument("buffers: reshape_buffer: the memory is not aligned for such elements");
}
void throw_others_checkpoint() { throw order_error("buffers: this checkpoint belongs to another resource"); }

void throw_not_live() {
  throw std::invalid_argument("buffers: drop: a view is not from this buffer, or was dropped before");
}

void require_disjoint(std::span<const std::span<std::byte>> blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (!blocks[i].empty() && !blocks[j].empty() && address(blocks[i].data()) <= address(&blocks[j].back()) &&
          address(blocks[j].data()) <= address(&blocks[i].back()))
        throw_not_live();
}

}  // namespace buffers::detail
