// The table of the contract: every kind of resource, called as what it is, through std::pmr::memory_resource, and by
// try_allocate. A resource joins with one struct in kinds.hpp and its name in the list below.
// To be included as kinds.hpp is, and after <boost/core/demangle.hpp>, <string>, <typeinfo> and <vector>.
#pragma once
#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>

#include "contract/kinds.hpp"

/// A resource of the table, whatever its type.
class subject {
 public:
  virtual ~subject() = default;
  /// Calls of the type's own functions.
  virtual void* allocate(std::size_t bytes, std::size_t alignment) = 0;
  virtual void deallocate(void* block, std::size_t bytes, std::size_t alignment) = 0;
  virtual void allocate_doubles(std::size_t count) = 0;
  virtual void alloc_chars(std::size_t rows, std::size_t columns) = 0;
  virtual std::pmr::memory_resource& base() = 0;
  /// used, peak, capacity and available, of those that it has.
  virtual std::vector<std::size_t> counters() = 0;
  /// The bytes in use, 0 where the resource does not count them.
  virtual std::size_t used() = 0;
  /// Where an arena's next block begins, which may bring a slab along. Null for all others.
  virtual const void* next() = 0;
};

template <class Kind>
concept can_try = requires(Kind& of) { of.resource.try_allocate(1); };

template <class Kind, bool Tries>
class subject_of final : public subject {
 public:
  subject_of(std::size_t bytes, std::pmr::memory_resource* upstream) : of_(bytes, upstream) {}
  void* allocate(std::size_t bytes, std::size_t alignment) override {
    if constexpr (Tries) {
      if (void* const block = of_.resource.try_allocate(bytes, alignment)) return block;
      (void)of_.resource.allocate(bytes, alignment);  // throws exhausted, as the tests expect
      throw std::logic_error("allocate has what try_allocate has not");
    }
    return of_.resource.allocate(bytes, alignment);
  }
  void deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    of_.resource.deallocate(block, bytes, alignment);
  }
  void allocate_doubles(std::size_t count) override {
    (void)buffers::allocator<double, std::remove_reference_t<decltype(of_.resource)>>(of_.resource).allocate(count);
  }
  void alloc_chars(std::size_t rows, std::size_t columns) override {
    (void)buffers::alloc<char>(of_.resource, rows, columns);
  }
  std::pmr::memory_resource& base() override { return of_.resource; }
  std::size_t used() override {
    if constexpr (requires { of_.resource.used(); }) return of_.resource.used();
    return 0;
  }
  std::vector<std::size_t> counters() override {
    auto& r = of_.resource;
    std::vector<std::size_t> all;
    if constexpr (requires { r.used(); }) all.push_back(r.used());
    if constexpr (requires { r.peak(); }) all.push_back(r.peak());
    if constexpr (requires { r.capacity(); }) all.push_back(r.capacity());
    if constexpr (requires { r.available(); }) all.push_back(r.available());
    if constexpr (requires { r.live(); }) all.insert(all.end(), {r.live(), r.total(), r.padding()});
    if constexpr (requires { r.second_blocks(); }) all.push_back(r.second_blocks());
    return all;
  }
  const void* next() override {
    if constexpr (buffers::checkpointable<std::remove_reference_t<decltype(of_.resource)>>) {
      void* const block = of_.resource.allocate(1);
      of_.resource.deallocate(block, 1);
      return block;
    }
    return nullptr;
  }

 private:
  Kind of_;
};

/// A line of the table.
struct entry {
  std::string name;
  bool is_fixed;
  bool ends;  // it, or what it stands on, may have no more while upstream has
  bool through_base;
  std::unique_ptr<subject> (*make)(std::size_t bytes, std::pmr::memory_resource* upstream);

  friend std::ostream& operator<<(std::ostream& os, const entry& e) { return os << e.name; }
};

template <class Kind, bool Tries>
std::unique_ptr<subject> make_subject(std::size_t bytes, std::pmr::memory_resource* upstream) {
  return std::make_unique<subject_of<Kind, Tries>>(bytes, upstream);
}

template <class Kind>
constexpr bool ends() {
  if constexpr (requires { Kind::base_ends; }) return Kind::base_ends;
  return Kind::is_fixed;
}

/// Called as what it is and through std::pmr::memory_resource, and where there is a try_allocate, by that.
template <class Kind>
void add_entries_of(std::vector<entry>& all) {
  const std::string name = boost::core::demangle(typeid(Kind).name());
  const auto add = [&](const char* how, bool through_base, auto make) {
    all.push_back({name + how, Kind::is_fixed, ends<Kind>(), through_base, make});
  };
  add("", false, make_subject<Kind, false>);
  add(" as a memory_resource", true, make_subject<Kind, false>);
  if constexpr (can_try<Kind>) add(" by try_allocate", false, make_subject<Kind, true>);
}
template <class... Kinds>
std::vector<entry> entries_of() {
  std::vector<entry> all;
  (add_entries_of<Kinds>(all), ...);
  return all;
}

/// A resource that stands on another, on every base.
template <template <class> class Upper>
std::vector<entry> on_every_base() {
  return entries_of<Upper<upstream_itself>, Upper<bump_over_upstream>, Upper<slab_of_small_slabs>,
                    Upper<pages_by_default>, Upper<pool_by_default>, Upper<concurrent_pool_by_default>>();
}

inline std::vector<entry> table() {
  std::vector<entry> all;
  for (std::vector<entry>& part : std::to_array({
           entries_of<bump_over_upstream, bump_over_storage, slab_by_default, slab_of_small_slabs, slab_over_storage,
                      slab_of_one_slab, slab_fixed_over_storage, pages_by_default, pages_with_guards, huge_pages,
                      prefaulted_pages, pages_with_everything, pool_by_default, pool_of_small_chunks,
                      concurrent_pool_by_default, concurrent_pool_of_small_chunks>(),
           on_every_base<limited>(),
           on_every_base<aligned>(),
           on_every_base<synchronized_>(),
           on_every_base<zeroing>(),
           on_every_base<retried>(),
           on_every_base<fallback_to>(),
           on_every_base<fallback_from>(),
           on_every_base<metered>(),
           on_every_base<recorded>(),
           on_every_base<slab_on>(),
           on_every_base<pool_on>(),
           on_every_base<concurrent_pool_on>(),
           entries_of<
               pool_on<bump_over_storage>, fallback_from<limited<upstream_itself>>, fallback_from<slab_of_one_slab>,
               zeroing<huge_pages>, aligned<pages_with_guards>, synchronized_<limited<aligned<slab_of_small_slabs>>>,
               zeroing<fallback_to<limited<upstream_itself>>>,
               retried<fallback_from<limited<zeroing<upstream_itself>>>>,
               limited<retried<synchronized_<pages_with_guards>>>, slab_on<aligned<zeroing<upstream_itself>>>,
               slab_on<fallback_from<limited<upstream_itself>>>, pool_on<limited<upstream_itself>>,
               pool_on<aligned<upstream_itself>>, concurrent_pool_on<limited<upstream_itself>>,
               slab_on<metered<aligned<upstream_itself>>>, pool_on<metered<upstream_itself>>,
               slab_on<recorded<aligned<upstream_itself>>>, metered<recorded<synchronized_<slab_of_small_slabs>>>,
               retried<metered<synchronized_<metered<slab_of_small_slabs>>>>>(),
       }))
    std::ranges::move(part, std::back_inserter(all));
  return all;
}

/// One line of the table on a test_resource.
class contract_rig {
 public:
  explicit contract_rig(const entry& e, std::size_t bytes = 64 * 1024)
      : through_base_(e.through_base), of_(e.make(bytes, &upstream)) {}

  std::byte* allocate(std::size_t bytes, std::size_t alignment = 16) {
    return static_cast<std::byte*>(through_base_ ? of_->base().allocate(bytes, alignment)
                                                 : of_->allocate(bytes, alignment));
  }
  void deallocate(void* block, std::size_t bytes, std::size_t alignment = 16) {
    through_base_ ? of_->base().deallocate(block, bytes, alignment) : of_->deallocate(block, bytes, alignment);
  }
  subject& of() { return *of_; }
  void destroy() { of_.reset(); }
  /// Its counters and upstream's.
  std::vector<std::size_t> counters() {
    std::vector<std::size_t> all = of_->counters();
    for (std::size_t count : {upstream.live_bytes(), upstream.live_blocks()}) all.push_back(count);
    return all;
  }

  buffers::test_resource upstream;

 private:
  bool through_base_;
  std::unique_ptr<subject> of_;
};

/// What a call that fails, or asks for nothing, must not change.
struct unchanged {
  const void* next;  // before the counters
  std::vector<std::size_t> counters;

  explicit unchanged(contract_rig& r) : next(r.of().next()), counters(r.counters()) {}
  bool operator==(const unchanged&) const = default;
  friend std::ostream& operator<<(std::ostream& os, const unchanged& s) {
    os << "next " << s.next << " counters";
    for (std::size_t count : s.counters) os << ' ' << count;
    return os;
  }
};
