module;
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <utility>
module buffers.resources;

namespace buffers::detail {

namespace {

// 2^32 / bytes, rounded up: a place in a run, multiplied by it and shifted back, is the number of the block.
constexpr auto reciprocals = [] {
  std::array<std::uint32_t, shared_classes> all{};
  for (std::size_t c = 0; c < shared_classes; ++c)
    all[c] = static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + bytes_of(c) - 1) / bytes_of(c));
  return all;
}();

std::size_t block_number(std::size_t offset, std::uint32_t reciprocal) noexcept {
  return static_cast<std::size_t>((static_cast<std::uint64_t>(offset) * reciprocal) >> 32);
}

// How many blocks a shared run of so many pages has.
std::size_t blocks_in(std::uint32_t pages, std::size_t size_class) noexcept {
  if (pages == pages_of(size_class)) [[likely]]
    return blocks_per_run(size_class);
  return pages * page_bytes / bytes_of(size_class);
}

// Lists of runs, in the order of their addresses.
run* merge(run* a, run* b) noexcept {
  run *first = nullptr, *last = nullptr, **end = &first;
  while (a != nullptr && b != nullptr) {
    if (b < a) std::swap(a, b);
    *end = a;
    a->previous = last;
    last = a;
    end = &a->next;
    a = a->next;
  }
  *end = a != nullptr ? a : b;
  if (*end != nullptr) (*end)->previous = last;
  return first;
}

// The first runs of a list that go on a sorted one's front or end: all of them, as a rule, where neighbours were freed.
run* pop_sorted(run*& list) noexcept {
  run *first = list, *last = list;
  for (list = list->next; list != nullptr;) {
    run* const next = list->next;
    if (list > last) {
      last->next = list;
      list->previous = last;
      last = list;
    } else if (list < first) {
      first->previous = list;
      list->next = first;
      first = list;
    } else {
      break;
    }
    list = next;
  }
  first->previous = last->next = nullptr;
  return first;
}

run* sorted(run* list) noexcept {
  run* parts[32] = {};  // each of about twice as many as the one before
  while (list != nullptr) {
    run* part = pop_sorted(list);
    std::size_t i = 0;
    for (; parts[i] != nullptr; ++i) part = merge(std::exchange(parts[i], nullptr), part);
    parts[i] = part;
  }
  for (run* part : parts)
    if (part != nullptr) list = merge(part, list);
  return list;
}

// A free block's first word leads to the next one, while nobody may touch the block.
[[gnu::no_sanitize("address")]] void* next_block(const void* block) noexcept {
  const unwatched here;
  return *static_cast<void* const*>(block);
}
[[gnu::no_sanitize("address")]] void link_block(void* block, void* next) noexcept {
  const unwatched here;
  *static_cast<void**>(block) = next;
}

// How many of the first of these blocks lie `step` behind each other. By fours, so that the end is looked at less
// often.
std::size_t in_step(void* const* blocks, std::size_t count, std::uintptr_t step) noexcept {
  std::size_t n = 1;
  std::uintptr_t next = address(blocks[0]) + step;
  for (; count - n >= 4; n += 4)
    for (std::size_t i = 0; i < 4; ++i, next += step)
      if (address(blocks[n + i]) != next) return n + i;
  for (; n < count && address(blocks[n]) == next; next += step) ++n;
  return n;
}

// The first so many bits of 256.
using bits_by_count = std::array<std::array<std::uint64_t, 4>, 257>;
constexpr bits_by_count all_first_bits() noexcept {
  bits_by_count all{};
  for (std::size_t count = 0; count < all.size(); ++count)
    for (std::size_t i = 0; i < count; ++i) all[count][i / 64] |= bit_of(i);
  return all;
}
constexpr bits_by_count first_bits = all_first_bits();
// One word of `count` bits from `first` on.
std::uint64_t row_of_bits(std::size_t first, std::size_t count, std::size_t word) noexcept {
  return first_bits[first + count][word] & ~first_bits[first][word];
}

void set_bits(std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = 0; i < 4; ++i) words[i] |= row_of_bits(first, count, i);
}

void clear_bits(std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  for (std::size_t i = 0; i < 4; ++i) words[i] &= ~row_of_bits(first, count, i);
}

// Where the first bit is that is set.
std::size_t first_set(const std::uint64_t (&words)[4]) noexcept {
  std::size_t word = 0;
  while (words[word] == 0) ++word;
  return word * 64 + static_cast<std::size_t>(std::countr_zero(words[word]));
}

// Whether `count` bits from `first` on are set, and no other ones.
bool are_bits(const std::uint64_t (&words)[4], std::size_t first, std::size_t count) noexcept {
  std::uint64_t others = 0;
  for (std::size_t i = 0; i < 4; ++i) others |= words[i] ^ row_of_bits(first, count, i);
  return others == 0;
}

// Marks the first of the blocks of so many bytes, which has this number in the run, as free, and those after it for as
// long as each is the neighbour of the one before, all upwards or all downwards. Returns how many they are.
[[gnu::noinline]] std::size_t free_neighbours(run& r, std::size_t number, void* const* blocks, std::size_t count,
                                              std::size_t bytes) noexcept {
  const bool rise = blocks[1] > blocks[0];
  const std::size_t most = std::min<std::size_t>(count, rise ? r.carved - number : number + 1);
  const std::size_t here = in_step(blocks, most, rise ? bytes : 0 - bytes);
  set_bits(r.bits, rise ? number : number + 1 - here, here);
  return here;
}

// A run for blocks of a class. When there is no memory for a whole one, pages for a single block will do: whole runs of
// all classes take 1.5 MiB, which a fixed buffer may not have.
run* allocate_shared(std::size_t size_class, page_heap& heap) {
  const auto few = static_cast<std::uint32_t>((bytes_of(size_class) + page_bytes - 1) / page_bytes);
  return heap.allocate_shared(pages_of(size_class), few);
}

// How many bytes of blocks are taken into use for a magazine: where several threads use the store, what others give
// back in the meantime is better than more of these.
constexpr std::size_t carved_at_once = 8 * 1024;

// Where a block that is in use lies.
struct place {
  run* in;
  std::size_t number;

  [[gnu::always_inline]] inline place(const page_heap::finder& find, const void* block,
                                      std::uint32_t reciprocal) noexcept {
    chunk* const home = find(block);
    const std::size_t offset = address(block) - address(home), page = home->first_of[offset / page_bytes];
    in = &home->runs()[page];
    number = block_number(offset - page * page_bytes, reciprocal);
  }
};

}  // namespace

// --- blocks that go and come

// From the runs that have some, in the order of their addresses; the lowest comes last, and is used first.
std::size_t block_store::take(std::size_t size_class, void** to, std::size_t most) noexcept {
  run*& list = partial_[size_class].sorted;
  const std::size_t bytes = bytes_of(size_class);
  std::size_t left = most;
  while (left != 0) {
    if (list == nullptr) list = sorted(std::exchange(partial_[size_class].others, nullptr));
    run* const from = list;
    if (from == nullptr) break;
    std::byte* const memory = from->memory();
    const std::size_t before = left;
    if (from->busy == 0) count_empty(*from, -1);
    const auto free = static_cast<std::size_t>(from->carved - from->busy);
    if (const std::size_t first = first_set(from->bits); are_bits(from->bits, first, free)) {
      const std::size_t here = std::min(left, free);
      std::byte* block = memory + first * bytes;
      for (std::size_t i = 0; i < here; ++i, block += bytes) to[--left] = block;
      clear_bits(from->bits, first, here);
    } else {
      for (std::size_t word = 0; word < 4; ++word) {
        std::uint64_t bits = from->bits[word];
        for (; bits != 0 && left != 0; bits &= bits - 1)
          to[--left] = memory + (word * 64 + static_cast<std::size_t>(std::countr_zero(bits))) * bytes;
        from->bits[word] = bits;
      }
    }
    from->busy += static_cast<std::int32_t>(before - left);
    if (from->busy == from->carved) {
      from->unlink(list);
      from->is = run::full;
      from->busy = 1;
    }
  }
  const std::size_t count = most - left;
  if (left != 0) std::memmove(to, to + left, count * sizeof(void*));
  available_[size_class] -= count;
  in_use_[size_class] += count;
  heap_.earn(count);
  return count;
}

block_range block_store::carve(std::size_t size_class) {
  run* from = size_class < shared_classes ? std::exchange(carving_[size_class], nullptr) : nullptr;
  if (from == nullptr) {
    from =
        size_class < shared_classes ? allocate_shared(size_class, heap_) : heap_.allocate_whole(bytes_of(size_class));
    from->is = size_class < shared_classes ? run::full : run::whole;
    from->size_class = static_cast<std::uint8_t>(size_class);
    from->carved = 0;
    from->busy = 1;
    std::ranges::fill(from->bits, 0);
  }
  const std::size_t bytes = bytes_of(size_class), left = blocks_in(from->pages, size_class) - from->carved;
  const std::size_t count = std::min(left, std::max<std::size_t>(carved_at_once / bytes, 1));
  if (from->is == run::partial) {
    if (from->busy == 0) count_empty(*from, -1);
    from->busy += static_cast<std::int32_t>(count);
  }
  std::byte* const first = from->memory() + from->carved * bytes;
  from->carved = static_cast<std::uint16_t>(from->carved + count);
  // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): a whole run has one block, and none is left
  if (count != left) carving_[size_class] = from;
  in_use_[size_class] += count;
  unpoison_if_mixed(first, count * bytes);
  return {first, first + count * bytes};
}

void* block_store::take_large(std::size_t bytes) {
  if (void* const used = take_used_large(bytes)) return used;
  void* const block = use_large(heap_.allocate_whole(bytes));
  large_counts& counts = large_[whole_bucket(bytes)];
  ++counts.misses;
  ++counts.live;
  return block;
}

void* block_store::take_used_large(std::size_t bytes) noexcept {
  run* const found = heap_.allocate_freed(bytes);
  if (found == nullptr) return nullptr;
  large_counts& counts = large_[whole_bucket(bytes)];
  ++counts.hits;
  ++counts.live;
  return use_large(found);
}

void* block_store::use_large(run* r) noexcept {
  r->is = run::whole;
  r->size_class = classes;
  large_bytes_ += r->pages * page_bytes;
  r->carved = 1;
  r->busy = 1;
  return r->memory();
}

void block_store::give_large(void* block) noexcept {
  run* const r = heap_.run_of(block);
  const std::size_t bytes = r->pages * page_bytes;
  --large_[whole_bucket(bytes)].live;
  large_bytes_ -= bytes;
  poison_in_program(block, bytes);
  heap_.free_whole(r);
  heap_.keep_spare_pages();
}

void* block_store::take_used_whole(std::size_t size_class) noexcept {
  run* const found = heap_.allocate_freed(bytes_of(size_class));
  if (found == nullptr) return nullptr;
  found->size_class = static_cast<std::uint8_t>(size_class);
  found->carved = 1;
  found->busy = 1;
  ++in_use_[size_class];
  unpoison_if_mixed(found->memory(), bytes_of(size_class));
  return found->memory();
}

void block_store::uncarve(std::size_t size_class, block_range blocks) noexcept {
  run* const to = heap_.run_of(blocks.first);
  const auto count = static_cast<std::size_t>(blocks.end - blocks.first) / bytes_of(size_class);
  in_use_[size_class] -= count;
  run*& carving = carving_[size_class];
  if ((carving != nullptr && carving != to) || blocks.end != to->memory() + to->carved * bytes_of(size_class)) {
    // Those of another thread come from there, or lie behind these: so these are like blocks that were used.
    set_bits(to->bits, block_number(address(blocks.first) - address(to->memory()), reciprocals[size_class]), count);
    available_[size_class] += count;
    return count_free(*to, count);
  }
  to->carved = static_cast<std::uint16_t>(to->carved - count);
  if (to->is == run::partial) {
    to->busy -= static_cast<std::int32_t>(count);
    if (to->busy == 0) count_empty(*to, 1);
  }
  carving = to;
}

void block_store::give(std::size_t size_class, void* const* blocks, std::size_t count) noexcept {
  in_use_[size_class] -= count;
  if (size_class >= shared_classes) {
    for (std::size_t i = 0; i < count; ++i) heap_.free_whole(heap_.run_of(blocks[i]));
    return heap_.keep_spare_pages();
  }
  available_[size_class] += count;
  heap_.earn(count);
  const std::size_t bytes = bytes_of(size_class);
  void* const* const end = blocks + count;
  // Many containers give neighbours back, in one direction or the other. A few in a row are not worth a branch that
  // cannot be foreseen.
  constexpr std::ptrdiff_t far = 7;
  const auto begins_row = [=](void* const* at) {
    const std::uintptr_t to_far = end - at > far ? address(at[far]) - address(at[0]) : 0;
    return to_far == far * bytes || to_far == 0 - far * bytes;
  };
  while (blocks != end) {
    void* const* row = blocks;
    while (row != end && !begins_row(row)) row = end - row > far ? row + far : end;
    mark_scattered(blocks, row, size_class);
    if (row == end) break;
    const place at(page_heap::finder(heap_), row[0], reciprocals[size_class]);
    const std::size_t here = free_neighbours(*at.in, at.number, row, static_cast<std::size_t>(end - row), bytes);
    count_free(*at.in, here);
    blocks = row + here;
  }
}

// Apart from what calls it: its few values stay in registers.
[[gnu::noinline]] void block_store::mark_scattered(void* const* blocks, void* const* end,
                                                   std::size_t size_class) noexcept {
  const std::uint32_t reciprocal = reciprocals[size_class];
  const page_heap::finder find(heap_);
  for (; blocks != end; ++blocks) {
    const place at(find, *blocks, reciprocal);
    at.in->bits[at.number / 64] |= bit_of(at.number);
    count_free(*at.in, 1);
  }
}

std::size_t block_store::bytes_in_use() const noexcept {
  std::size_t sum = large_bytes_;
  for (std::size_t c = 0; c < classes; ++c) sum += in_use_[c] * bytes_of(c);
  return sum;
}

inline void block_store::count_free(run& in, std::size_t blocks) noexcept {
  if ((in.busy -= static_cast<std::int32_t>(blocks)) <= 0) [[unlikely]]
    count_first_or_last(in, blocks);
}

// The first block that comes back to a full run, or the last one that was in use.
[[gnu::noinline]] void block_store::count_first_or_last(run& in, std::size_t blocks) noexcept {
  if (in.is == run::full) {
    list(&in);
    in.busy = in.carved - static_cast<std::int32_t>(blocks);
  }
  if (in.busy == 0) count_empty(in, 1);
}

// Among those that have free blocks.
void block_store::list(run* r) noexcept {
  r->is = run::partial;
  r->link(partial_[r->size_class].others);
}

// --- all blocks

void block_store::take_all_back() noexcept {
  void* whole = nullptr;  // a list of blocks through their first words: they change the runs, so after the loop
  std::ranges::fill(partial_, partial{});
  std::ranges::fill(available_, 0);
  for (std::size_t& pages : empty_pages_) heap_.count_empty(-static_cast<std::ptrdiff_t>(std::exchange(pages, 0)));
  std::fill_n(in_use_, shared_classes, 0);
  heap_.for_each_run([&](run* r) {
    poison_unless_mixed(r->memory(), r->pages * page_bytes);
#if BUFFERS_HARDENED
    std::ranges::fill(r->sizes, 0);
#endif
    if (r->is == run::whole) {
      link_block(r->memory(), whole);
      whole = r->memory();
      return;
    }
    available_[r->size_class] += r->carved;
    for (std::size_t word = 0; word < 4; ++word) {
      const std::size_t left = r->carved > word * 64 ? r->carved - word * 64 : 0;
      r->bits[word] = left >= 64 ? ~std::uint64_t{0} : bit_of(left) - 1;
    }
    r->busy = 0;
    count_empty(*r, 1);
    list(r);
  });
  while (void* const block = whole) {
    whole = next_block(block);
    if (const std::size_t size_class = heap_.run_of(block)->size_class; size_class < classes)
      owner_.hold(block, size_class);
    else
      give_large(block);
  }
}

std::size_t block_store::block_bytes(const void* block) const noexcept {
  run* const r = heap_.run_in_use_at(block);
  if (r == nullptr) return 0;
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - r->memory());
  if (r->is == run::whole) return offset == 0 ? r->pages * page_bytes : 0;
  const std::size_t bytes = bytes_of(r->size_class);
  return offset % bytes == 0 && offset / bytes < r->carved ? bytes : 0;
}

// --- runs without a block in use

void block_store::count_empty(const run& r, int runs) noexcept {
  const auto pages = static_cast<std::ptrdiff_t>(r.pages) * runs;
  empty_pages_[r.size_class] += static_cast<std::size_t>(pages);
  heap_.count_empty(pages);
}

// The first ones, until there are so many bytes. Returns how many there are.
std::size_t block_store::free_empty(std::size_t size_class, std::size_t bytes) noexcept {
  std::size_t pages = 0;
  run*& list = partial_[size_class].sorted;
  list = merge(list, sorted(std::exchange(partial_[size_class].others, nullptr)));
  for (run *r = list, *next; r != nullptr && pages * page_bytes < bytes; r = next) {
    next = r->next;
    if (!r->is_empty()) continue;
    r->unlink(list);
    count_empty(*r, -1);
    available_[size_class] -= r->carved;
    if (carving_[size_class] == r) carving_[size_class] = nullptr;
    pages += r->pages;
    heap_.free(r);
  }
  return pages * page_bytes;
}

void block_store::free_all_empty() noexcept {
  for (std::size_t c = 0; c < shared_classes; ++c) static_cast<void>(free_empty(c, SIZE_MAX));
}

// What is freed for a small request must be taken again by its own size, which may be next; what is not freed makes the
// list longer that is gone through the next time.
std::size_t block_store::free_some_empty(std::size_t bytes) noexcept {
  const auto c = static_cast<std::size_t>(std::ranges::max_element(empty_pages_) - empty_pages_);
  return free_empty(c, std::max(bytes, empty_pages_[c] * page_bytes / 16));
}

void block_store::free_all_idle() noexcept {
  owner_.give_held(true);
  free_all_empty();
}

std::size_t block_store::idle_bytes() const noexcept {
  std::size_t sum = owner_.held_whole_bytes();
  for (std::size_t c = 0; c < shared_classes; ++c) sum += available_[c] * bytes_of(c);
  return sum;
}

// --- all of it

void block_store::trim(std::size_t keep_bytes) noexcept {
  free_all_empty();
  heap_.trim(keep_bytes);
}

void block_store::release() noexcept {
  heap_.release();
  std::ranges::fill(partial_, partial{});
  std::ranges::fill(carving_, nullptr);
  std::ranges::fill(available_, 0);
  std::ranges::fill(in_use_, 0);
  std::ranges::fill(empty_pages_, 0);
  for (large_counts& counts : large_) counts.live = 0;
  large_bytes_ = 0;
}

// --- the hardened build

#if BUFFERS_HARDENED
std::uint8_t& block_store::size_mark(const void* block) const noexcept {
  run* const r = heap_.run_of(block);
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(block) - r->memory());
  return r->sizes[r->is == run::whole ? 0 : offset / bytes_of(r->size_class)];
}

void block_store::note_taken(const void* block, std::size_t bytes) noexcept {
  size_mark(block) = static_cast<std::uint8_t>(1 + bytes % 251);
}

block_store::giving block_store::note_given(const void* block, std::size_t bytes) noexcept {
  std::uint8_t& mark = size_mark(block);
  if (mark == 0) return giving::not_in_use;
  if (bytes != 0 && mark != 1 + bytes % 251) return giving::wrong_size;
  mark = 0;
  return giving::right;
}
#else
void block_store::note_taken(const void*, std::size_t) noexcept {}
block_store::giving block_store::note_given(const void*, std::size_t) noexcept { return giving::right; }
#endif

}  // namespace buffers::detail
