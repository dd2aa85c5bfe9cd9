// Mistakes with a pool that only the hardened build or AddressSanitizer finds, each made in a child process that has to
// die of it.
#include "support/child.hpp"

#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <span>
#include <stdexcept>
#include <vector>
import buffers;
import buffers.testing;

using buffers::pool_resource;

namespace {

constexpr std::size_t page = 4096;

/// Of each kind: in the lists' first sizes, with a run of its own, above a page's alignment.
struct request {
  std::size_t bytes, alignment;
};
constexpr request requests[] = {{16, 16},       {100, 16},       {100, 64},  {5000, 16},
                                {20'000, page}, {3'000'000, 16}, {100, 8192}};

std::byte* bytes(pool_resource& pool, request r) {
  return static_cast<std::byte*>(pool.allocate(r.bytes, r.alignment));
}

/// That each kind of request, given back as `wrong` does it, ends the program with the message.
void every_one_aborts(const char* message, const auto& wrong) {
  for (const request r : requests) {
    const child dead = run_in_child([&] {
      pool_resource pool;
      (void)bytes(pool, r);
      wrong(pool, r);
    });
    BOOST_TEST(dead.aborted(message), r.bytes << " at " << r.alignment << ": " << dead);
  }
}

void every_one_is_reported(const auto& wrong) {
  for (const request r : requests) {
    const child dead = run_in_child([&] {
      pool_resource pool;
      (void)bytes(pool, r);
      wrong(pool, r);
    });
    BOOST_TEST((dead.reported("use-after-poison") || dead.reported("heap-use-after-free")),
               r.bytes << " at " << r.alignment << ": " << dead);
  }
}

const auto only_hardened = [](boost::unit_test::test_unit_id) { return boost::test_tools::assertion_result(hardened); };
const auto only_sanitized = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(sanitized);
};

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_hardened_build, *boost::unit_test::precondition(only_hardened))

BOOST_AUTO_TEST_CASE(freed_twice) {
  every_one_aborts("deallocate: the block", [](pool_resource& pool, request r) {
    std::byte* const block = bytes(pool, r);
    pool.deallocate(block, r.bytes, r.alignment);
    pool.deallocate(block, r.bytes, r.alignment);
  });
  const child dead = run_in_child([] {
    pool_resource pool;
    void* const block = pool.allocate(64);
    pool.deallocate(block, 64);
    pool.deallocate(block, 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
}

BOOST_AUTO_TEST_CASE(freed_twice_with_others_between) {
  for (std::size_t others : {1uz, 300uz, 2000uz}) {
    const child dead = run_in_child([=] {
      pool_resource pool;
      std::vector<void*> all(others);
      void* const block = pool.allocate(64);
      for (void*& other : all) other = pool.allocate(64);
      pool.deallocate(block, 64);
      for (void* other : all) pool.deallocate(other, 64);
      pool.deallocate(block, 64);
    });
    BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
  }
}

BOOST_AUTO_TEST_CASE(freed_after_a_clear) {
  every_one_aborts("deallocate: the block", [](pool_resource& pool, request r) {
    std::byte* const block = bytes(pool, r);
    pool.clear();
    pool.deallocate(block, r.bytes, r.alignment);
  });
}

BOOST_AUTO_TEST_CASE(freed_after_a_release) {
  every_one_aborts("deallocate: the block is not from this pool", [](pool_resource& pool, request r) {
    std::byte* const block = bytes(pool, r);
    pool.release();
    pool.deallocate(block, r.bytes, r.alignment);
  });
}

BOOST_AUTO_TEST_CASE(wrong_size) {
  every_one_aborts("deallocate: the size",
                   [](pool_resource& pool, request r) { pool.deallocate(bytes(pool, r), 2 * r.bytes, r.alignment); });
  const child dead = run_in_child([] {
    pool_resource pool;
    pool.deallocate(pool.allocate(100), 50);
  });
  BOOST_TEST(dead.aborted("deallocate: the size or alignment is not the one"), dead);
}

BOOST_AUTO_TEST_CASE(wrong_size_by_one) {
  every_one_aborts("deallocate: the size",
                   [](pool_resource& pool, request r) { pool.deallocate(bytes(pool, r), r.bytes + 1, r.alignment); });
  every_one_aborts("deallocate: the size",
                   [](pool_resource& pool, request r) { pool.deallocate(bytes(pool, r), r.bytes - 1, r.alignment); });
}

BOOST_AUTO_TEST_CASE(size_of_none) {
  every_one_aborts("deallocate: the size",
                   [](pool_resource& pool, request r) { pool.deallocate(bytes(pool, r), 0, r.alignment); });
}

BOOST_AUTO_TEST_CASE(wrong_alignment) {
  const child dead = run_in_child([] {
    pool_resource pool;
    pool.deallocate(pool.allocate(100, 64), 100, 16);
  });
  BOOST_TEST(dead.aborted("deallocate: the size or alignment is not the one"), dead);
  const child of_a_page = run_in_child([] {
    pool_resource pool;
    pool.deallocate(pool.allocate(100, 16), 100, page);
  });
  BOOST_TEST(of_a_page.aborted("deallocate: the size or alignment is not the one"), of_a_page);
}

BOOST_AUTO_TEST_CASE(foreign_block) {
  every_one_aborts("deallocate: the block is not from this pool", [](pool_resource& pool, request r) {
    pool_resource other;
    pool.deallocate(bytes(other, r), r.bytes, r.alignment);
  });
  const child dead = run_in_child([] {
    pool_resource pool;
    std::byte local[64];
    (void)pool.allocate(64);
    pool.deallocate(local, 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this pool"), dead);
}

BOOST_AUTO_TEST_CASE(interior_pointer) {
  every_one_aborts("deallocate: the block is not from this pool",
                   [](pool_resource& pool, request r) { pool.deallocate(bytes(pool, r) + 8, r.bytes, r.alignment); });
}

BOOST_AUTO_TEST_CASE(never_handed_out) {
  const child dead = run_in_child([] {
    pool_resource pool;
    pool.deallocate(static_cast<std::byte*>(pool.allocate(64)) + 64, 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
}

BOOST_AUTO_TEST_CASE(put_of_a_shorter_span) {
  pool_resource pool;
  for (request r : {request{128, 16}, request{1 << 20, 16}, request{4 << 20, 16}, request{100, 8192}}) {
    const std::span<std::byte> block = pool.get(r.bytes, r.alignment);
    const std::size_t used = pool.used();
    BOOST_CHECK_THROW(pool.put(block.first(block.size() - 1)), std::invalid_argument);
    BOOST_CHECK_THROW(pool.put(block.first(1)), std::invalid_argument);
    BOOST_TEST(pool.used() == used);
    pool.put(block);
  }
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(put_of_a_block_that_is_in_the_pool) {
  pool_resource pool;
  for (std::size_t size : {64uz, 4096uz, 1uz << 20, 4uz << 20}) {
    const std::span<std::byte> block = pool.get(size);
    pool.put(block);
    BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
    BOOST_TEST(pool.used() == 0u);
    BOOST_TEST(pool.stats().live == 0u);
    BOOST_TEST(pool.try_get(size).data() == block.data());
    BOOST_TEST(pool.try_get(size).empty());
    pool.clear();
    BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
  }
}

BOOST_AUTO_TEST_CASE(put_of_what_was_deallocated_and_the_other_way_round) {
  pool_resource pool;
  const std::span<std::byte> block = pool.get(128);
  pool.deallocate(block.data(), 128);
  BOOST_CHECK_THROW(pool.put(block), std::invalid_argument);
  const child dead = run_in_child([] {
    pool_resource inside;
    const std::span<std::byte> again = inside.get(128);
    inside.put(again);
    inside.deallocate(again.data(), 128);
  });
  BOOST_TEST(dead.aborted("deallocate: the block was given back before"), dead);
}

BOOST_AUTO_TEST_CASE(the_same_calls_in_order_survive) {
  for (const request r : requests) {
    const child alive = run_in_child([&] {
      pool_resource pool;
      std::vector<std::byte*> all;
      for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 700; ++i) all.push_back(bytes(pool, r));
        for (std::byte* block : all) pool.deallocate(block, r.bytes, r.alignment);
        all.clear();
        pool.deallocate(nullptr, r.bytes, r.alignment);
        pool.put(pool.get(r.bytes, r.alignment));
        (void)bytes(pool, r);
        pool.clear();
        (void)bytes(pool, r);
        if (round == 1) pool.release();
        pool.deallocate(bytes(pool, r), r.bytes, r.alignment);
        (void)pool.trim(0);
      }
    });
    BOOST_TEST(alive.survived(), r.bytes << " at " << r.alignment << ": " << alive);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(pool_under_address_sanitizer, *boost::unit_test::precondition(only_sanitized))

BOOST_AUTO_TEST_CASE(use_after_free) {
  every_one_is_reported([](pool_resource& pool, request r) {
    const std::byte* const block = bytes(pool, r);
    pool.deallocate(const_cast<std::byte*>(block), r.bytes, r.alignment);
    touch(block);
  });
  every_one_is_reported([](pool_resource& pool, request r) {
    std::byte* const block = bytes(pool, r);
    static_cast<std::pmr::memory_resource&>(pool).deallocate(block, r.bytes, r.alignment);
    touch(block + r.bytes - 1);
  });
}

BOOST_AUTO_TEST_CASE(use_after_put) {
  every_one_is_reported([](pool_resource& pool, request r) {
    const std::span<std::byte> block = pool.get(r.bytes, r.alignment);
    pool.put(block);
    touch(&block.back());
  });
}

BOOST_AUTO_TEST_CASE(use_after_a_clear) {
  every_one_is_reported([](pool_resource& pool, request r) {
    const std::byte* const block = bytes(pool, r);
    pool.clear();
    touch(block);
  });
}

BOOST_AUTO_TEST_CASE(use_of_a_block_that_left_the_lists) {
  const child dead = run_in_child([] {
    pool_resource pool;
    std::vector<void*> all(3000);
    for (void*& block : all) block = pool.allocate(64);
    for (void* block : all) pool.deallocate(block, 64);
    touch(all[0]);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE(a_byte_beyond_what_was_asked_for) {
  for (std::size_t size : {1uz, 15uz, 16uz, 17uz, 50uz, 64uz, 100uz, 112uz, 1000uz, 1024uz, 5000uz, 20'000uz, 20'480uz,
                           100'000uz, 3'000'000uz})
    for (bool again : {false, true}) {
      const child dead = run_in_child([=] {
        pool_resource pool;
        if (again) pool.deallocate(pool.allocate(size), size);
        touch(static_cast<std::byte*>(pool.allocate(size)) + size);
      });
      BOOST_TEST(dead.reported("use-after-poison"), size << ": " << dead);
    }
}

BOOST_AUTO_TEST_CASE(a_byte_beyond_upstreams_own_block) {
  for (std::size_t size : {1uz, 7uz, 8uz, 100uz, 104uz, 4096uz}) {
    const child dead = run_in_child([=] {
      pool_resource pool;
      touch(static_cast<std::byte*>(pool.allocate(size, 8192)) + size);
    });
    BOOST_TEST(dead.reported("READ of size 1"), size << ": " << dead);
  }
}

BOOST_AUTO_TEST_CASE(a_byte_beyond_what_was_asked_for_of_a_block_that_was_longer) {
  const child dead = run_in_child([] {
    pool_resource pool;
    std::byte* const block = static_cast<std::byte*>(pool.allocate(64));
    pool.deallocate(block, 64);
    if (pool.allocate(50) != block) return;
    touch(block + 50);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE(memory_that_was_never_handed_out) {
  for (std::size_t far : {64uz, 128uz, page, 30'000uz}) {
    const child dead = run_in_child([=] {
      pool_resource pool;
      touch(static_cast<std::byte*>(pool.allocate(64)) + far);
    });
    BOOST_TEST(dead.reported("use-after-poison"), dead);
  }
}

BOOST_AUTO_TEST_CASE(upstream_gets_its_memory_back_clean) {
  const child alive = run_in_child([] {
    std::vector<std::byte> storage(20 << 20);
    std::pmr::monotonic_buffer_resource buffer{storage.data(), storage.size(), std::pmr::null_memory_resource()};
    {
      pool_resource pool{{}, &buffer};
      for (const request r : requests) {
        std::memset(bytes(pool, r), 1, r.bytes);
        pool.deallocate(bytes(pool, r), r.bytes, r.alignment);
        (void)bytes(pool, r);
      }
      pool.clear();
    }
    std::memset(storage.data(), 2, storage.size());
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_CASE(the_same_calls_within_bounds_survive) {
  for (const request r : requests) {
    const child alive = run_in_child([&] {
      pool_resource pool;
      std::vector<std::byte*> all;
      for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 20; ++i) std::memset(all.emplace_back(bytes(pool, r)), 1, r.bytes);
        for (std::byte* block : all) pool.deallocate(block, r.bytes, r.alignment);
        all.clear();
        const std::span<std::byte> block = pool.get(r.bytes, r.alignment);
        std::memset(block.data(), 2, block.size());
        pool.put(block);
        std::memset(bytes(pool, r), 3, r.bytes);
        pool.clear();
        std::memset(bytes(pool, r), 4, r.bytes);
        if (round == 1) pool.release();
      }
    });
    BOOST_TEST(alive.survived(), r.bytes << " at " << r.alignment << ": " << alive);
  }
}

BOOST_AUTO_TEST_SUITE_END()
