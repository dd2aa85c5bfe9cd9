// One child process for each sin: the hardened build has to end it with the right message, AddressSanitizer with a
// report. More of each kind is in misuse.test.cpp and pool_misuse.test.cpp.
#include "support/child.hpp"

#include <algorithm>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::concurrent_pool_resource;
using buffers::pool_resource;
using buffers::slab_resource;

using arenas_of_two_kinds = boost::mpl::list<bump_resource, slab_resource>;
using all_kinds = boost::mpl::list<bump_resource, slab_resource, pool_resource, concurrent_pool_resource>;

namespace {

constexpr const char* wrong_size = "deallocate: the size";
constexpr const char* not_from_this = "deallocate: the block is not from this";

std::byte* bytes(std::pmr::memory_resource& from, std::size_t count) {
  return static_cast<std::byte*>(from.allocate(count));
}

void write(std::byte* byte) { *static_cast<volatile std::byte*>(byte) = std::byte{1}; }

const auto only_hardened = [](boost::unit_test::test_unit_id) { return boost::test_tools::assertion_result(hardened); };
const auto only_sanitized = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(sanitized);
};

}  // namespace

BOOST_AUTO_TEST_SUITE(sins)

// --- that the checks below can fail ----------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(control_of_the_children) {
  const child innocent = run_in_child([] {});
  BOOST_TEST(innocent.survived());
  BOOST_TEST(!innocent.aborted(""));
  BOOST_TEST(!innocent.segfaulted());
  BOOST_TEST(!innocent.reported(""));
  const child silent = run_in_child([] { std::abort(); });
  BOOST_TEST(!silent.survived());
  BOOST_TEST(silent.aborted(""));
  BOOST_TEST(!silent.aborted(not_from_this));
  BOOST_TEST(!silent.reported("use-after-poison"));
  const child refused = run_in_child([] { _exit(3); });
  BOOST_TEST(!refused.survived());
  BOOST_TEST(!refused.aborted(""));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(control_of_the_sins, R, all_kinds) {
  const child innocent = run_in_child([] {
    R resource;
    std::byte* const first = bytes(resource, 50);
    std::byte* const second = bytes(resource, 64);
    std::memset(first, 1, 50);
    std::memset(second, 2, 64);
    resource.deallocate(first, 50);
    resource.deallocate(second, 64);
    resource.release();
    std::memset(bytes(resource, 64), 3, 64);
  });
  BOOST_TEST(innocent.survived(), innocent);
}

// --- the size --------------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE_TEMPLATE(newest_block_freed_with_another_size, R, arenas_of_two_kinds) {
  if (!hardened) return;
  for (std::size_t size : {16uz, 60uz, 64uz, 100uz})
    for (std::size_t as : {1uz, size / 2, size - 1}) {
      const child dead = run_in_child([=] {
        R resource;
        (void)bytes(resource, 64);
        resource.deallocate(bytes(resource, size), as);
      });
      BOOST_TEST(dead.aborted(wrong_size), size << " as " << as << ": " << dead);
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(older_block_freed_with_a_size_that_reaches_into_the_newest, R, arenas_of_two_kinds) {
  if (!hardened) return;
  const child dead = run_in_child([] {
    R resource;
    std::byte* const block = bytes(resource, 64);
    (void)bytes(resource, 64);
    resource.deallocate(block, 80);
  });
  BOOST_TEST(dead.aborted(wrong_size), dead);
}

// AddressSanitizer knows which bytes of a last granule were handed out.
BOOST_AUTO_TEST_CASE_TEMPLATE(older_block_freed_with_another_size, R, arenas_of_two_kinds) {
  if (!sanitized) return;
  for (std::size_t as : {49uz, 51uz, 60uz}) {
    const child dead = run_in_child([=] {
      R resource;
      std::byte* const block = bytes(resource, 50);
      (void)bytes(resource, 64);
      (void)bytes(resource, 64);
      resource.deallocate(block, as);
    });
    BOOST_TEST(dead.aborted(wrong_size), as << ": " << dead);
  }
}

BOOST_AUTO_TEST_CASE(block_with_memory_of_its_own_freed_with_another_size,
                     *boost::unit_test::precondition(only_hardened)) {
  const child dead = run_in_child([] {
    slab_resource resource;
    resource.deallocate(bytes(resource, 1 << 20), (1 << 20) - 1);
  });
  BOOST_TEST(dead.aborted(wrong_size), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(pointer_into_a_block_freed, R, arenas_of_two_kinds) {
  if (!hardened) return;
  const child dead = run_in_child([] {
    R resource;
    resource.deallocate(bytes(resource, 64) + 8, 56);
  });
  BOOST_TEST(dead.aborted(not_from_this), dead);
}

// What changes the size of a block, or brings blocks back, must not be taken for that mistake.
BOOST_AUTO_TEST_CASE_TEMPLATE(blocks_that_changed_their_size_are_freed_with_the_new_one, R, arenas_of_two_kinds) {
  const child innocent = run_in_child([] {
    R resource;
    std::byte* const first = bytes(resource, 40);
    std::byte* const second = bytes(resource, 40);
    resource.deallocate(second, 40);
    if (!resource.try_expand(first, 40, 200)) std::abort();
    std::byte* const third = bytes(resource, 100);
    if (!resource.shrink(third, 100, 30)) std::abort();
    const auto cp = resource.checkpoint();
    resource.deallocate(third, 30);
    (void)bytes(resource, 7);
    resource.restore(cp);
    resource.deallocate(first, 200);
    resource.reset();
    const auto before = buffers::alloc<double>(resource, 3);
    const auto after = buffers::alloc<double>(resource, 3);
    std::byte* const last = bytes(resource, 10);
    buffers::drop(resource, before, after);
    resource.deallocate(last, 10);
    if (resource.used() != 0) std::abort();
  });
  BOOST_TEST(innocent.survived(), innocent);
}

// --- beyond the ends -------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE_TEMPLATE(overrun_by_one, R, all_kinds) {
  if (!sanitized) return;
  for (std::size_t size : {1uz, 50uz, 1000uz}) {
    const child dead = run_in_child([=] {
      R resource;
      write(bytes(resource, size) + size);
    });
    BOOST_TEST(dead.reported("use-after-poison"), size << ": " << dead);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(underrun_by_one, R, arenas_of_two_kinds) {
  if (!sanitized) return;
  const child of_the_first = run_in_child([] {
    R resource;
    write(bytes(resource, 64) - 1);
  });
  BOOST_TEST((of_the_first.reported("use-after-poison") || of_the_first.reported("heap-buffer-overflow")),
             of_the_first);
  const child of_a_later_one = run_in_child([] {
    R resource;
    (void)bytes(resource, 50);
    write(bytes(resource, 64) - 1);
  });
  BOOST_TEST(of_a_later_one.reported("use-after-poison"), of_a_later_one);
}

BOOST_AUTO_TEST_CASE(underrun_of_blocks_with_memory_of_their_own, *boost::unit_test::precondition(only_sanitized)) {
  const child in_a_slab_resource = run_in_child([] {
    slab_resource resource;
    write(bytes(resource, 1 << 20) - 1);
  });
  BOOST_TEST(in_a_slab_resource.reported("heap-buffer-overflow"), in_a_slab_resource);
  const child in_a_pool = run_in_child([] {
    pool_resource resource;
    std::byte* const lower = bytes(resource, 64);
    std::byte* const upper = bytes(resource, 64);
    resource.deallocate(lower, 64);
    write(std::max(lower, upper) - 1);
  });
  BOOST_TEST(in_a_pool.reported("use-after-poison"), in_a_pool);
}

// --- after the end ---------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE_TEMPLATE(use_after_a_release, R, all_kinds) {
  if (!sanitized) return;
  const child dead = run_in_child([] {
    R resource;
    std::byte* const block = bytes(resource, 64);
    resource.release();
    write(block);
  });
  BOOST_TEST(dead.reported("heap-use-after-free"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_after_the_resource, R, all_kinds) {
  if (!sanitized) return;
  const child dead = run_in_child([] {
    std::optional<R> resource(std::in_place);
    std::byte* const block = bytes(*resource, 64);
    resource.reset();
    write(block);
  });
  BOOST_TEST(dead.reported("heap-use-after-free"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(freed_after_a_release, R, all_kinds) {
  if (!hardened || thread_sanitized) return;  // ThreadSanitizer sees what the heap got back, and is first to say so
  const child dead = run_in_child([] {
    R resource;
    void* const block = bytes(resource, 64);
    resource.release();
    resource.deallocate(block, 64);
  });
  BOOST_TEST(dead.aborted(not_from_this), dead);
}

// A trimmed slab is upstream's: whoever has kept a block of it since the end of its scope finds it gone.
BOOST_AUTO_TEST_CASE(use_after_a_trim, *boost::unit_test::precondition(only_sanitized)) {
  const child dead = run_in_child([] {
    slab_resource resource{{.first_slab = 1024}};
    (void)bytes(resource, 1000);
    std::byte* block = nullptr;
    {
      buffers::scope inner{resource};
      block = bytes(resource, 1000);
    }
    (void)resource.trim(0);
    write(block);
  });
  BOOST_TEST(dead.reported("heap-use-after-free"), dead);
}

// --- whose it is -----------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE_TEMPLATE(foreign_block, R, all_kinds) {
  if (!hardened) return;
  const child of_another = run_in_child([] {
    R resource, other;
    (void)bytes(resource, 64);
    resource.deallocate(bytes(other, 64), 64);
  });
  BOOST_TEST(of_another.aborted(not_from_this), of_another);
  const child of_the_heap = run_in_child([] {
    R resource;
    (void)bytes(resource, 64);
    resource.deallocate(bytes(*std::pmr::new_delete_resource(), 64), 64);
  });
  BOOST_TEST(of_the_heap.aborted(not_from_this), of_the_heap);
}

BOOST_AUTO_TEST_CASE(a_resource_destroyed_under_a_lease, *boost::unit_test::precondition(only_hardened)) {
  const child dead = run_in_child([] {
    auto resource = std::make_unique<buffers::thread_resource<>>();
    const auto held = resource->lease();
    resource.reset();
  });
  BOOST_TEST(dead.aborted("is destroyed while a scope of it is open"), dead);
}

// An upper resource gives its memory to the lower one, which has to be there.
BOOST_AUTO_TEST_CASE(upstream_destroyed_first, *boost::unit_test::precondition(only_sanitized)) {
  const child dead = run_in_child([] {
    auto lower = std::make_unique<slab_resource>();
    slab_resource upper{{}, lower.get()};
    (void)bytes(upper, 64);
    lower.reset();
  });
  BOOST_TEST(dead.reported("heap-use-after-free"), dead);
}

BOOST_AUTO_TEST_SUITE_END()
