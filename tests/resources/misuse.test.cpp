// Mistakes that only the hardened build or AddressSanitizer finds, each made in a child process that has to die of it.
#include "support/child.hpp"

#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::scope;
using buffers::slab_resource;

using resources = boost::mpl::list<bump_resource, slab_resource>;

namespace {

std::byte* bytes(std::pmr::memory_resource& buffer, std::size_t count) {
  return static_cast<std::byte*>(buffer.allocate(count));
}

const auto only_hardened = [](boost::unit_test::test_unit_id) { return boost::test_tools::assertion_result(hardened); };
const auto only_sanitized = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(sanitized);
};

}  // namespace

BOOST_AUTO_TEST_SUITE(hardened_build, *boost::unit_test::precondition(only_hardened))

BOOST_AUTO_TEST_CASE_TEMPLATE(newest_block_freed_twice, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    (void)bytes(buffer, 64);
    void* const block = bytes(buffer, 64);
    buffer.deallocate(block, 64);
    buffer.deallocate(block, 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this"), dead);
  BOOST_TEST(dead.errors.contains("or was given back before"));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(older_block_freed_twice, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    void* const block = bytes(buffer, 64);
    (void)bytes(buffer, 64);
    buffer.deallocate(block, 64);
    buffer.deallocate(block, 64);
  });
  BOOST_TEST(dead.aborted("or was given back before"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(foreign_block, R, resources) {
  const child dead = run_in_child([] {
    R buffer, other;
    (void)bytes(buffer, 64);
    buffer.deallocate(bytes(other, 64), 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(block_of_a_scope_that_has_ended, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    void* block = nullptr;
    {
      scope inner{buffer};
      block = bytes(buffer, 64);
    }
    buffer.deallocate(block, 64);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(container_that_outlives_a_reset, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    std::pmr::vector<int> numbers({1, 2, 3}, &buffer);
    buffer.reset();
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(freed_with_a_size_beyond_the_end, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    void* const block = bytes(buffer, 64);
    buffer.deallocate(block, 80);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this"), dead);
}

BOOST_AUTO_TEST_CASE(block_with_memory_of_its_own_freed_twice) {
  const child dead = run_in_child([] {
    slab_resource buffer;
    void* const block = bytes(buffer, 1 << 20);
    buffer.deallocate(block, 1 << 20);
    buffer.deallocate(block, 1 << 20);
  });
  BOOST_TEST(dead.aborted("deallocate: the block is not from this resource"), dead);
}

BOOST_AUTO_TEST_CASE(pages) {
  using buffers::page_resource;
  const auto dies_of = [](auto mistake) {
    for (const bool guard_pages : {false, true}) {
      const child dead = run_in_child([&] {
        page_resource pages{{.guard_pages = guard_pages}}, others;
        mistake(pages, pages.allocate(10'000, 32), others);
      });
      BOOST_TEST(dead.aborted("deallocate: the "), dead);
    }
  };
  dies_of([](page_resource& pages, void* block, page_resource&) {
    pages.deallocate(block, 10'000, 32);
    pages.deallocate(block, 10'000, 32);
  });
  dies_of([](page_resource& pages, void* block, page_resource&) { pages.deallocate(block, 9'999, 32); });
  dies_of([](page_resource& pages, void* block, page_resource&) { pages.deallocate(block, 100'000, 32); });
  dies_of([](page_resource& pages, void* block, page_resource&) { pages.deallocate(block, 10'000, 16); });
  dies_of([](page_resource&, void* block, page_resource& others) { others.deallocate(block, 10'000, 32); });
  dies_of([](page_resource& pages, void* block, page_resource&) {
    pages.deallocate(static_cast<std::byte*>(block) + pages.page_bytes(), 5'000, 32);
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(scopes_closed_out_of_order, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    auto outer = std::make_unique<scope<R>>(buffer);
    const auto inner = std::make_unique<scope<R>>(buffer);
    outer.reset();
  });
  BOOST_TEST(dead.aborted("scopes are closed out of order"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(destroyed_while_a_scope_is_open, R, resources) {
  const child dead = run_in_child([] {
    std::optional<R> buffer(std::in_place);
    const scope inner{*buffer};
    buffer.reset();
  });
  BOOST_TEST(dead.aborted("is destroyed while a scope of it is open"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_same_calls_in_order_survive, R, resources) {
  const child alive = run_in_child([] {
    R buffer;
    void* const block = bytes(buffer, 64);
    const scope outer{buffer};
    const scope inner{buffer};
    (void)bytes(buffer, 64);
    std::pmr::vector<int> numbers({1, 2, 3}, &buffer);
    for (int i = 0; i < 1000; ++i) numbers.push_back(i);
    buffer.deallocate(block, 64);
    buffer.deallocate(nullptr, 64);
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(release_build)

// Closing the outer scope first is a mistake, but not one that may lose track of the buffer.
BOOST_AUTO_TEST_CASE_TEMPLATE(scopes_closed_out_of_order, R, resources) {
  if (hardened) return;
  R buffer;
  auto outer = std::make_unique<scope<R>>(buffer);
  (void)bytes(buffer, 16);
  auto inner = std::make_unique<scope<R>>(buffer);
  (void)bytes(buffer, 16);
  outer.reset();
  BOOST_TEST(buffer.used() == 0u);
  (void)bytes(buffer, 64);
  inner.reset();
  BOOST_TEST(buffer.used() == 64u);
  BOOST_CHECK_NO_THROW(buffer.reset());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(under_address_sanitizer, *boost::unit_test::precondition(only_sanitized))

BOOST_AUTO_TEST_CASE_TEMPLATE(use_after_the_end_of_a_scope, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    (void)bytes(buffer, 16);
    const std::byte* block = nullptr;
    {
      scope inner{buffer};
      block = bytes(buffer, 64);
    }
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_after_a_restore, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    (void)bytes(buffer, 16);
    const auto cp = buffer.checkpoint();
    const std::byte* const block = bytes(buffer, 64);
    buffer.restore(cp);
    touch(block + 63);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_after_a_reset, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    const std::byte* const block = bytes(buffer, 64);
    buffer.reset();
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE(use_of_an_older_slab_after_a_reset) {
  const child dead = run_in_child([] {
    slab_resource buffer{{.first_slab = 1024}};
    const std::byte* const block = bytes(buffer, 1024);
    (void)bytes(buffer, 1024);
    buffer.reset();
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE(use_of_a_later_slab_after_the_end_of_a_scope) {
  const child dead = run_in_child([] {
    slab_resource buffer{{.first_slab = 1024}};
    const std::byte* block = nullptr;
    (void)bytes(buffer, 1024);
    {
      scope inner{buffer};
      block = bytes(buffer, 1024);
      (void)bytes(buffer, 2048);
    }
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE(use_of_a_block_with_memory_of_its_own_after_the_end_of_a_scope) {
  const child dead = run_in_child([] {
    slab_resource buffer;
    const std::byte* block = nullptr;
    {
      scope inner{buffer};
      block = bytes(buffer, 1 << 20);
    }
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(read_behind_the_newest_block, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    touch(bytes(buffer, 50) + 50);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(read_between_two_blocks, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    const std::byte* const block = bytes(buffer, 24);
    (void)bytes(buffer, 24);
    touch(block + 24);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_of_the_freed_newest_block, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    const std::byte* const block = bytes(buffer, 64);
    buffer.deallocate(const_cast<std::byte*>(block), 64);
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_of_a_freed_older_block, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    std::byte* const block = bytes(buffer, 64);
    (void)bytes(buffer, 64);
    static_cast<std::pmr::memory_resource&>(buffer).deallocate(block, 64);
    touch(block);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_of_a_dropped_block, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    const auto a = buffers::alloc<double>(buffer, 8);
    (void)buffers::alloc<double>(buffer, 8);
    buffers::drop(buffer, a);
    touch(a.data_handle());
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(use_of_what_a_shrunk_block_lost, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    std::byte* const block = bytes(buffer, 64);
    buffer.shrink(block, 64, 32);
    touch(block + 32);
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_reshaped_view_after_the_reset, R, resources) {
  const child dead = run_in_child([] {
    R buffer;
    const auto view = buffers::reshape_buffer<double>(buffer, 10, 10);
    buffer.reset();
    touch(view.data_handle());
  });
  BOOST_TEST(dead.reported("use-after-poison"), dead);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_block_made_shorter_in_a_scope_is_given_back_after_it, R, resources) {
  const child alive = run_in_child([] {
    R buffer;
    const auto shorten_in = [&](auto go_back) {
      std::byte* const block = bytes(buffer, 200);
      go_back(block);
      std::memset(block, 1, 40);
      buffer.deallocate(block, 40);
    };
    shorten_in([&](std::byte* block) {
      scope inner{buffer};
      buffer.shrink(block, 200, 40);
    });
    shorten_in([&](std::byte* block) {
      const auto before = buffer.checkpoint();
      buffer.shrink(block, 200, 40);
      buffer.restore(before);
    });
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_same_calls_within_bounds_survive, R, resources) {
  const child alive = run_in_child([] {
    R buffer;
    std::memset(bytes(buffer, 50), 1, 50);
    for (int i = 0; i < 3; ++i) {
      scope inner{buffer};
      std::byte* const block = bytes(buffer, 64);
      std::memset(block, 1, 64);
      if (buffer.try_expand(block, 64, 100)) std::memset(block, 2, 100);
      buffer.deallocate(block, 100);
      std::memset(bytes(buffer, 100), 3, 100);
      std::memset(static_cast<std::pmr::memory_resource&>(buffer).allocate(100, 256), 4, 100);
    }
    buffer.reset();
    std::memset(bytes(buffer, 5000), 5, 5000);
    buffer.reset();
    const auto view = buffers::reshape_buffer<double>(buffer, 10, 10);
    std::memset(view.data_handle(), 6, 800);
  });
  BOOST_TEST(alive.survived(), alive);
}

BOOST_AUTO_TEST_SUITE_END()
