# Registration of tests with ctest. Names are FOLDER/NAME, and the folder is also the label: `ctest -L unit`.

find_program(STORAGEFS_PYTHON NAMES /usr/bin/python3 python3 REQUIRED)

# What a sanitizer finds in a daemon would go to a closed stderr, so all of it goes to files sanitizer-report.PID in the
# build directory; scripts/test shows them, and fails when there is one.
set(sanitizer_log "log_path=${PROJECT_BINARY_DIR}/sanitizer-report")
set(STORAGEFS_TEST_ENVIRONMENT
    "STORAGEFS_BINARY=$<TARGET_FILE:storagefs>"
    "STORAGEFS_SOURCE=${PROJECT_SOURCE_DIR}"
    "STORAGEFS_SANITIZE=${STORAGEFS_SANITIZE}"
    "G_DEBUG=fatal-criticals"
    "ASAN_OPTIONS=${sanitizer_log}:detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=${sanitizer_log}:print_stacktrace=1"
    "TSAN_OPTIONS=${sanitizer_log}:halt_on_error=1:second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0")

# Before a test's command: it fails when it leaves something in TMPDIR.
set(STORAGEFS_OWN_FOLDER "${PROJECT_SOURCE_DIR}/tests/own_folder.sh")

function(storagefs_register_test name timeout)
    get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    add_test(NAME ${folder}/${name} COMMAND ${ARGN})
    set_tests_properties(${folder}/${name} PROPERTIES
        LABELS ${folder} TIMEOUT ${timeout} SKIP_RETURN_CODE 77
        ENVIRONMENT "${STORAGEFS_TEST_ENVIRONMENT}")
endfunction()

# storagefs_test(NAME [SOURCES FILE...] [USES TARGET...] [TIMEOUT SECONDS])
#
# A GTest program of the calling folder, linked with all layers; SOURCES defaults to test_NAME.c. It runs with the
# folder's source directory as G_TEST_SRCDIR, so that g_test_build_filename() finds its fixtures.
function(storagefs_test name)
    cmake_parse_arguments(PARSE_ARGV 1 test "" "TIMEOUT" "SOURCES;USES")
    if(NOT test_SOURCES)
        set(test_SOURCES test_${name}.c)
    endif()
    if(NOT test_TIMEOUT)
        set(test_TIMEOUT 300)
    endif()
    get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    add_executable(${folder}_${name} ${test_SOURCES})
    target_link_libraries(${folder}_${name} PRIVATE storagefs_core folder_fixture ${test_USES})
    storagefs_register_test(${name} ${test_TIMEOUT} ${STORAGEFS_OWN_FOLDER} $<TARGET_FILE:${folder}_${name}>)
    set_property(TEST ${folder}/${name} APPEND PROPERTY ENVIRONMENT
        "G_TEST_SRCDIR=${CMAKE_CURRENT_SOURCE_DIR}" "G_TEST_BUILDDIR=${CMAKE_CURRENT_BINARY_DIR}")
endfunction()

# storagefs_pytests(): every test_*.py of the calling folder is one test. Exit code 5 is pytest's for "nothing
# selected", which is a failure here too.
function(storagefs_pytests)
    get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    file(GLOB files CONFIGURE_DEPENDS RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}"
         "${CMAKE_CURRENT_SOURCE_DIR}/test_*.py")
    foreach(file IN LISTS files)
        string(REGEX REPLACE "^test_(.*)[.]py$" "\\1" name "${file}")
        storagefs_register_test(${name} 1200
            ${STORAGEFS_PYTHON} -m pytest -q -p no:cacheprovider "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
        set_property(TEST ${folder}/${name} APPEND PROPERTY ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
    endforeach()
endfunction()

# storagefs_plain_only(NAME...): these tests of the calling folder do not run under the sanitizers, because they
# look at size or take too long there.
function(storagefs_plain_only)
    get_filename_component(folder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    foreach(name IN LISTS ARGN)
        if(TEST ${folder}/${name})
            set_property(TEST ${folder}/${name} APPEND PROPERTY LABELS plain-only)
        else()
            message(FATAL_ERROR "storagefs_plain_only: there is no test ${folder}/${name}")
        endif()
    endforeach()
endfunction()

# storagefs_check(NAME COMMAND...): a script of the project that looks at the sources, as a test.
function(storagefs_check name)
    add_test(NAME check/${name} COMMAND ${ARGN} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(check/${name} PROPERTIES LABELS check
        ENVIRONMENT "STORAGEFS_BUILD=${PROJECT_BINARY_DIR}")
endfunction()
