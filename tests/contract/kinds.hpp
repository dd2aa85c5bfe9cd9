// The kinds of resources: every resource of the library in every way of making one, with room for at least `bytes`
// bytes.
// To be included after `import buffers;` and `import buffers.testing;`, and after <boost/mpl/list.hpp>, <cstddef>,
// <cstdint>, <cstdio>, <cstdlib>, <atomic>, <memory>, <memory_resource>, <ostream>, <span> and <unistd.h>.
#pragma once
#include "support/temporary.hpp"

/// Memory that is neither from the heap's operator new nor from a memory resource.
struct storage {
  explicit storage(std::size_t bytes)
      : memory(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)), std::free), size(bytes) {}
  std::span<std::byte> span() const { return {memory.get(), size}; }
  std::unique_ptr<std::byte, void (*)(void*)> memory;
  std::size_t size;
};

struct bump_over_upstream {
  static constexpr bool is_fixed = true;
  bump_over_upstream(std::size_t bytes, std::pmr::memory_resource* upstream) : resource(bytes, upstream) {}
  buffers::bump_resource resource;
};
struct bump_over_storage {
  static constexpr bool is_fixed = true;
  bump_over_storage(std::size_t bytes, std::pmr::memory_resource*) : memory(bytes), resource(memory.span()) {}
  storage memory;
  buffers::bump_resource resource;
};
struct slab_by_default {
  static constexpr bool is_fixed = false;
  slab_by_default(std::size_t, std::pmr::memory_resource* upstream) : resource({}, upstream) {}
  buffers::slab_resource resource;
};
struct slab_of_small_slabs {
  static constexpr bool is_fixed = false;
  slab_of_small_slabs(std::size_t, std::pmr::memory_resource* upstream)
      : resource({.first_slab = 64, .growth = 1.5, .largest_slab = 1024}, upstream) {}
  buffers::slab_resource resource;
};
struct slab_over_storage {
  static constexpr bool is_fixed = false;
  slab_over_storage(std::size_t, std::pmr::memory_resource* upstream)
      : memory(512), resource({.first_slab = 1024, .initial_buffer = memory.span()}, upstream) {}
  storage memory;
  buffers::slab_resource resource;
};
struct slab_of_one_slab {
  static constexpr bool is_fixed = true;
  slab_of_one_slab(std::size_t bytes, std::pmr::memory_resource* upstream)
      : resource({.first_slab = bytes, .extendable = false}, upstream) {}
  buffers::slab_resource resource;
};
struct slab_fixed_over_storage {
  static constexpr bool is_fixed = true;
  slab_fixed_over_storage(std::size_t bytes, std::pmr::memory_resource* upstream)
      : memory(bytes), resource({.extendable = false, .initial_buffer = memory.span()}, upstream) {}
  storage memory;
  buffers::slab_resource resource;
};

struct pages_by_default {
  static constexpr bool is_fixed = false;
  pages_by_default(std::size_t, std::pmr::memory_resource*) {}
  buffers::page_resource resource;
};
struct pages_with_guards {
  static constexpr bool is_fixed = false;
  pages_with_guards(std::size_t, std::pmr::memory_resource*) {}
  buffers::page_resource resource{{.guard_pages = true}};
};
struct huge_pages {
  static constexpr bool is_fixed = false;
  huge_pages(std::size_t, std::pmr::memory_resource*) {}
  buffers::page_resource resource{{.huge_pages = true}};
};
struct prefaulted_pages {
  static constexpr bool is_fixed = false;
  prefaulted_pages(std::size_t, std::pmr::memory_resource*) {}
  buffers::page_resource resource{{.prefault = true}};
};
struct pages_with_everything {
  static constexpr bool is_fixed = false;
  pages_with_everything(std::size_t, std::pmr::memory_resource*) {}
  buffers::page_resource resource{{.huge_pages = true, .prefault = true, .guard_pages = true}};
};

struct pool_by_default {
  static constexpr bool is_fixed = false;
  pool_by_default(std::size_t, std::pmr::memory_resource* upstream) : resource({}, upstream) {}
  buffers::pool_resource resource;
};
/// Gives memory upstream as soon as it can.
struct pool_of_small_chunks {
  static constexpr bool is_fixed = false;
  pool_of_small_chunks(std::size_t, std::pmr::memory_resource* upstream)
      : resource({.first_chunk = 64 * 1024, .largest_chunk = 64 * 1024, .spare = 0}, upstream) {}
  buffers::pool_resource resource;
};
struct concurrent_pool_by_default {
  static constexpr bool is_fixed = false;
  concurrent_pool_by_default(std::size_t, std::pmr::memory_resource* upstream) : resource({}, upstream) {}
  buffers::concurrent_pool_resource resource;
};
struct concurrent_pool_of_small_chunks {
  static constexpr bool is_fixed = false;
  concurrent_pool_of_small_chunks(std::size_t, std::pmr::memory_resource* upstream)
      : resource({.first_chunk = 64 * 1024, .largest_chunk = 64 * 1024, .spare = 0}, upstream) {}
  buffers::concurrent_pool_resource resource;
};

/// What an adaptor stands on when it stands on upstream.
struct upstream_itself {
  static constexpr bool is_fixed = false;
  upstream_itself(std::size_t, std::pmr::memory_resource* upstream) : resource(*upstream) {}
  std::pmr::memory_resource& resource;
};
template <class Base>
struct limited {
  static constexpr bool is_fixed = true;
  limited(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource(bytes, &base.resource) {}
  Base base;
  buffers::limit_resource resource;
};
template <class Base>
struct aligned {
  static constexpr bool is_fixed = Base::is_fixed;
  aligned(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource(64, &base.resource) {}
  Base base;
  buffers::aligned_resource resource;
};
template <class Base>
struct synchronized_ {
  static constexpr bool is_fixed = Base::is_fixed;
  synchronized_(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource(&base.resource) {}
  Base base;
  buffers::synchronized_resource resource;
};
template <class Base>
struct zeroing {
  static constexpr bool is_fixed = Base::is_fixed;
  zeroing(std::size_t bytes, std::pmr::memory_resource* upstream) : base(bytes, upstream), resource(&base.resource) {}
  Base base;
  buffers::zeroing_resource resource;
};
template <class Base>
struct metered {
  static constexpr bool is_fixed = Base::is_fixed;
  metered(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource(&base.resource, upstream), named(resource, "named") {}
  Base base;
  buffers::meter_resource resource;
  buffers::meter_scope named;
};
template <class Base>
struct recorded {
  static constexpr bool is_fixed = Base::is_fixed;
  recorded(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource(file, &base.resource) {}
  temporary_file file;
  Base base;
  buffers::recording_resource resource;
};
/// Tries each request a second time.
template <class Base>
struct retried {
  static constexpr bool is_fixed = Base::is_fixed;
  struct every_other_time {
    bool operator()() { return again = !again; }
    bool again = false;
  };
  retried(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(bytes, upstream), resource({}, &base.resource) {}
  Base base;
  buffers::retry_resource<every_other_time> resource;
};
/// A first of 512 bytes, and the base after it.
template <class Base>
struct fallback_to {
  static constexpr bool is_fixed = Base::is_fixed;
  fallback_to(std::size_t bytes, std::pmr::memory_resource* upstream)
      : first(512, upstream), base(bytes, upstream), resource(&first.resource, &base.resource) {}
  bump_over_storage first;
  Base base;
  buffers::fallback_resource resource;
};
/// The base first, and then upstream.
template <class Base>
struct fallback_from {
  static constexpr bool is_fixed = false;
  fallback_from(std::size_t, std::pmr::memory_resource* upstream)
      : base(512, upstream), resource(&base.resource, upstream) {}
  Base base;
  buffers::fallback_resource resource;
};
/// Slabs on a base that has room for their growth: not fixed, as where its room ends is the base's to say; but there it
/// ends.
template <class Base>
struct slab_on {
  static constexpr bool is_fixed = false, base_ends = Base::is_fixed;
  slab_on(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(8 * bytes + (std::size_t{1} << 20), upstream), resource({.first_slab = 1024}, &base.resource) {}
  Base base;
  buffers::slab_resource resource;
};
/// The same for a pool, with room for what is rounded up and for the pool's tables.
template <class Base>
struct pool_on {
  static constexpr bool is_fixed = false, base_ends = Base::is_fixed;
  pool_on(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(2 * bytes + (std::size_t{1} << 20), upstream), resource({}, &base.resource) {}
  Base base;
  buffers::pool_resource resource;
};
template <class Base>
struct concurrent_pool_on {
  static constexpr bool is_fixed = false, base_ends = Base::is_fixed;
  concurrent_pool_on(std::size_t bytes, std::pmr::memory_resource* upstream)
      : base(2 * bytes + (std::size_t{1} << 23), upstream), resource({}, &base.resource) {}
  Base base;
  buffers::concurrent_pool_resource resource;
};

template <class Kind>
struct as_itself {
  using kind = Kind;
  static auto& face(Kind& of) { return of.resource; }
};
template <class Kind>
struct as_memory_resource {
  using kind = Kind;
  static std::pmr::memory_resource& face(Kind& of) { return of.resource; }
};

/// Those with checkpoints, called as what they are and through std::pmr::memory_resource.
using arenas = boost::mpl::list<
    as_itself<bump_over_upstream>, as_memory_resource<bump_over_upstream>, as_itself<bump_over_storage>,
    as_memory_resource<bump_over_storage>, as_itself<slab_by_default>, as_memory_resource<slab_by_default>,
    as_itself<slab_of_small_slabs>, as_memory_resource<slab_of_small_slabs>, as_itself<slab_over_storage>,
    as_memory_resource<slab_over_storage>, as_itself<slab_of_one_slab>, as_memory_resource<slab_of_one_slab>,
    as_itself<slab_fixed_over_storage>, as_memory_resource<slab_fixed_over_storage>>;

/// One arena on a test_resource.
template <class K>
struct rig {
  using kind = typename K::kind;
  static constexpr bool is_fixed = kind::is_fixed;

  explicit rig(std::size_t bytes = 64 * 1024) : of(bytes, &upstream) {}

  std::byte* allocate(std::size_t bytes, std::size_t alignment = 16) {
    return static_cast<std::byte*>(K::face(of).allocate(bytes, alignment));
  }
  void deallocate(void* block, std::size_t bytes, std::size_t alignment = 16) {
    K::face(of).deallocate(block, bytes, alignment);
  }
  auto& resource() { return of.resource; }
  std::size_t upstream_calls() const { return upstream.allocations() + upstream.deallocations(); }

  buffers::test_resource upstream;
  kind of;
};

/// What a failed call must not change in an arena.
struct state {
  std::size_t used, peak, capacity, upstream_bytes;
  const void* next = nullptr;  // where the next block begins

  bool operator==(const state&) const = default;
  friend std::ostream& operator<<(std::ostream& os, const state& s) {
    return os << "used " << s.used << " peak " << s.peak << " capacity " << s.capacity << " upstream "
              << s.upstream_bytes << " next " << s.next;
  }
};

/// The state of a rig; looks for the next block by allocating one, which may bring a slab along.
template <class K>
state state_of(rig<K>& r) {
  void* const next = r.allocate(1);
  r.deallocate(next, 1);
  auto& resource = r.resource();
  return {resource.used(), resource.peak(), resource.capacity(), r.upstream.live_bytes(), next};
}

inline bool is_aligned(const void* p, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
}
