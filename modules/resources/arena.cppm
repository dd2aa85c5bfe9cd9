// What bump_resource and slab_resource have in common: cutting blocks off a region, upwards, and giving them back from
// the end.
//
//     base                             top               last
//      │┌─────────┬──┬────────┐┌────────┐│┌────────────────┐│
//      ││ block   │  │ block  ││ newest │││ not handed out ││
//      │└─────────┴──┴────────┘└────────┘│└────────────────┘│
//
// `base`, `top` and `last` are addresses of bytes, each the last of what is left of it. A block starts at a multiple of
// 16 bytes, so `top | 15` is the byte before the next one: one `or` and one add are all that the next request has to
// wait for.
module;
#include <cstddef>
#include <cstdint>
export module buffers.resources:arena;
import buffers.core;
import buffers.std;

namespace buffers::detail {

/// Every block starts at a multiple of this many bytes.
export inline constexpr std::size_t granule = 16;

/// A block that was dropped while younger ones live, kept in that block's own memory, or the padding before an aligned
/// block. `bytes` are whole granules.
struct hole {
  hole* below;
  std::size_t bytes;
};

export [[nodiscard]] inline std::uintptr_t address(const void* pointer) noexcept {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

/// Rounds the address of a byte up to the last byte of its granule.
export [[nodiscard]] constexpr std::uintptr_t granule_end(std::uintptr_t byte) noexcept { return byte | (granule - 1); }

/// Whether a block that starts at `first` is the one that ends at `top`: both end in the same granule.
export [[nodiscard]] constexpr bool is_newest(std::uintptr_t first, std::size_t bytes, std::uintptr_t top) noexcept {
  return ((bytes - 1) ^ (top - first)) < granule;
}

/// A run of memory and how far it is handed out.
struct region {
  // Without memory, all ends are the byte before address 0, so that null is no block of it, whatever its size is.
  std::uintptr_t top = address(nullptr) - 1;
  std::uintptr_t last = top;
  std::uintptr_t base = top;
  std::uintptr_t zero = top;  // top - zero bytes are in use, those of the regions before included
  hole* holes = nullptr;      // from the highest address down
#if BUFFERS_HARDENED
  // Where the block begins that was taken last. While it is at or below top, it is live and ends there.
  std::uintptr_t newest = 0;
#endif

  region() = default;
  /// Over the given memory, which starts at a multiple of the granule, with `before` bytes in use elsewhere.
  region(std::uintptr_t first, std::size_t bytes, std::size_t before) noexcept
      : top(first - 1), last(first - 1 + bytes), base(first - 1), zero(first - 1 - before) {}

  /// A block, or null when this region has no room for it, the size is 0, or the alignment is not a power of two or
  /// larger than the granule.
  [[nodiscard]] inline void* take(std::size_t bytes, std::size_t alignment) noexcept {
    const std::uintptr_t before = granule_end(top);
    if (before >= last || bytes - 1 >= last - before) [[unlikely]]
      return nullptr;
    // In one test: unless it is a power of two, alignment and alignment - 1 have a bit in common, and if it is larger
    // than the granule, alignment - 1 has a bit that granule - 1 has not.
    if (((alignment - 1) & (alignment | ~(granule - 1))) != 0) [[unlikely]]
      return nullptr;
    top = before + bytes;
    unpoison(reinterpret_cast<void*>(before + 1), bytes);
    if constexpr (hardened) note_taken(before + 1);
    return reinterpret_cast<void*>(before + 1);
  }
  /// The same for any power of two.
  [[nodiscard]] void* take_aligned(std::size_t bytes, std::size_t alignment) noexcept;

  /// Whether the byte is in the region.
  [[nodiscard]] inline bool contains(const void* byte) const noexcept { return address(byte) - base - 1 < last - base; }
  /// Whether these bytes are the newest block.
  [[nodiscard]] inline bool is_newest(const void* block, std::size_t bytes) const noexcept {
    return detail::is_newest(address(block), bytes, top);
  }

  [[nodiscard]] inline bool try_expand(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    if (!is_newest(block, old_bytes) || new_bytes < old_bytes || new_bytes - 1 > last - address(block)) return false;
    unpoison(block, new_bytes);
    if (const std::uintptr_t end = address(block) + new_bytes - 1; end > top) {  // the end of the granule may do
      top = end;
      note_newest(address(block));
    }
    return true;
  }

  [[nodiscard]] inline bool try_shrink(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    if (!is_newest(block, old_bytes) || new_bytes > old_bytes || new_bytes == 0) return false;
    poison(static_cast<std::byte*>(block) + new_bytes, old_bytes - new_bytes);
    top = address(block) + new_bytes - 1;
    return true;
  }

  /// Moves the end to where it once was. Blocks may lie before it that were made shorter or given back since.
  inline void return_to(std::uintptr_t end) noexcept {
    if (end > top) note_newest(~std::uintptr_t{0});
    top = end;
  }

  /// Whether these bytes begin where a block does, and are handed out and none of them has been dropped.
  [[nodiscard]] bool is_live(std::span<const std::byte> block) const noexcept;
  /// Takes back a live block: at once when it is the newest, else as soon as all younger ones are gone. What lies at or
  /// below `floor` belongs to an open scope's outside and stays until that ends.
  void drop(std::span<std::byte> block, std::uintptr_t floor) noexcept;
  /// Lowers top past the holes that have come to lie at the end, down to the floor.
  void reclaim(std::uintptr_t floor) noexcept;
  /// Forgets the holes above top.
  void forget_holes() noexcept;

  /// Hardened build: where the newest block begins, for has_size_of_a_block().
  inline void note_newest([[maybe_unused]] std::uintptr_t first) noexcept {
#if BUFFERS_HARDENED
    newest = first;
#endif
  }
  void note_taken(std::uintptr_t first) noexcept;
  /// Hardened build: a block that is given back carries a sign at its start, and must not carry one already. Null when
  /// this may be given back, else what is wrong with it.
  [[nodiscard]] const char* note_freed(std::span<const std::byte> block) noexcept;

 private:
  /// The granule that the end of the memory cuts short has no room for a `hole`: its drop is remembered here.
  bool short_granule_dropped = false;
  [[nodiscard]] bool has_size_of_a_block(std::span<const std::byte> block) const noexcept;
  [[nodiscard]] bool is_short_granule(std::uintptr_t first) const noexcept { return first + sizeof(hole) - 1 > last; }
};

/// An open scope: lies in the `scope` object, and is linked from the resource. Opening one notes two words only; the
/// other two are filled in when something happens that going back must know of.
struct scope_mark {
  std::uintptr_t outer;  // the next scope outside, in the form of checkpoint_order::open
  std::uint64_t serial;
  // What is stored and read one by one has no neighbour of its kind: GCC would store two at once, and the processor
  // waits for such a store where one of them is read soon.
  std::uintptr_t top;
  void* at;  // the slab
};

/// Which serial numbers, of those given out so far, may still be gone back to. Going back to one kills those that are
/// younger: a range of dead ones, and ranges without a live one in between become one. So many ranges are kept; when
/// there are more, the oldest is dropped, and its dead pass require_alive(): see is_sure_of().
export struct serial_history {
  std::uint64_t newest;
  std::uint64_t oldest = newest + 1;  // nothing from before the last reset

  constexpr explicit serial_history(std::uint64_t before_all) noexcept : newest(before_all) {}

  /// Throws order_error for one from before the last reset.
  constexpr void require_since_reset(std::uint64_t serial) const {
    if (serial > newest || serial < oldest) throw_older_than_a_reset();
  }
  /// Throws order_error for one that died when an older one was gone back to.
  constexpr void require_alive(std::uint64_t serial) const {
    for (const range& dead : dead_)
      if (serial > dead.after && serial <= dead.through) throw_restored_past();
  }
  /// The ones after this are dead from now on.
  constexpr void went_back_to(std::uint64_t serial) noexcept {
    if (serial == newest) return;
    range dying{serial, newest};
    range* place = dead_;  // an empty one, when there is any, else the oldest
    for (range& dead : dead_) {
      if (dead.through >= serial) {  // within the new range, or just before it
        dying.after = dead.after < dying.after ? dead.after : dying.after;
        dead = {};
      }
      if (dead.through < place->through) place = &dead;
    }
    if (place->through > forgotten_) forgotten_ = place->through;
    *place = dying;
  }
  constexpr void reset() noexcept {
    oldest = newest + 1;
    for (range& dead : dead_) dead = {};
    forgotten_ = 0;
  }
  /// Whether require_alive() is sure of this one.
  [[nodiscard]] constexpr bool is_sure_of(std::uint64_t serial) const noexcept { return serial > forgotten_; }

 private:
  [[noreturn]] static void throw_older_than_a_reset();
  [[noreturn]] static void throw_restored_past();

  struct range {
    std::uint64_t after, through;
  };
  static constexpr std::size_t kept = hardened ? 64 : 4;
  range dead_[kept] = {};
  std::uint64_t forgotten_ = 0;  // the last one of the ranges that had no room any more
};

export [[noreturn]] void throw_scope_is_younger();
export [[noreturn]] void throw_scope_is_open();

/// Before the serial numbers, so that what every scope touches lies together.
struct open_scope_link {
  std::uintptr_t open = 0;  // address of the innermost open scope's mark, and bit 0: it was disturbed
};

/// Which checkpoints may still be restored. Each one, and each event after which going back is more than moving the end
/// of a region, gets a serial number, unique among all resources of the program.
struct checkpoint_order : open_scope_link, serial_history {
  inline checkpoint_order() noexcept : serial_history(first_serial()) {}

  /// A new serial number. `at` is the current slab: it must not have changed yet.
  [[nodiscard]] inline std::uint64_t issue(void* at) noexcept {
    if (open != 0) disturb(at);
    return ++newest;
  }
  inline void open_scope(scope_mark& opened, std::uintptr_t top) noexcept {
    opened.outer = open;
    opened.top = top;
    open = address(&opened);
  }
  /// All open scopes began here: where there was no memory, there is now.
  void move_tops(std::uintptr_t top) noexcept;
  /// Ends a scope in which nothing was done but to take blocks from its region; else false, and nothing is done.
  [[nodiscard]] inline bool close_scope(const scope_mark& opened) noexcept {
    if (open != address(&opened)) [[unlikely]]
      return false;
    open = opened.outer;
    return true;
  }
  /// Ends any scope and completes its mark. False, and nothing is done, when an outer one ended before it and took it
  /// along.
  [[nodiscard]] bool close_scope_slow(scope_mark& opened, void* at) noexcept;
  /// Whether the innermost open scope began in this slab.
  [[nodiscard]] bool opened_in(const void* slab, const void* current) const noexcept;
  /// The end of what was handed out of this slab before the innermost scope that began in it; 0 where none did.
  [[nodiscard]] std::uintptr_t floor(const void* slab, const void* current) const noexcept;

  /// Throws order_error unless the checkpoint is alive and no scope is open that began after it.
  void require_valid(std::uint64_t serial) const;
  /// Throws order_error while a scope is open.
  void require_no_scope() const;

 private:
  static std::uint64_t first_serial() noexcept;
  void disturb(void* at) noexcept;
};

/// The peak of `used()`, worked out only when something is given back: in between, `used()` only grows.
struct peak_meter {
  std::uintptr_t high = 0;  // greatest top in the current region since the last settle()
  std::size_t round = 0;    // greatest use since the last reset
  std::size_t most = 0;     // greatest use since the last restart()

  inline void falling(std::uintptr_t top) noexcept {
    if (top > high) high = top;
  }
  void settle(const region& now, std::size_t elsewhere) noexcept {
    falling(now.top);
    const std::size_t use = high - now.zero + elsewhere;
    round = use > round ? use : round;
    most = use > most ? use : most;
    high = 0;
  }
  [[nodiscard]] std::size_t peak(const region& now, std::size_t elsewhere) const noexcept {
    peak_meter then = *this;
    then.settle(now, elsewhere);
    return then.most;
  }
  void next_round() noexcept { round = 0; }
  void restart(const region& now, std::size_t elsewhere) noexcept {
    settle(now, elsewhere);
    most = now.top - now.zero + elsewhere;
  }
};

/// A pointer for a request of no bytes: aligned, not null, and to no memory at all.
export [[nodiscard]] inline void* no_bytes(std::size_t alignment) noexcept {
  return reinterpret_cast<void*>(alignment > granule ? alignment : granule);
}

export [[noreturn]] void throw_not_live();
export [[noreturn]] void throw_reshaped_until_reset();
export [[noreturn]] void throw_reshape_of_a_used_buffer();
[[noreturn]] void throw_reshape_alignment();
export [[noreturn]] void throw_others_checkpoint();
/// Throws invalid_argument when two of the blocks overlap.
void require_disjoint(std::span<const std::span<std::byte>> blocks);

}  // namespace buffers::detail
