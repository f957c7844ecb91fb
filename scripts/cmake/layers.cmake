# Layers: one OBJECT library per folder, and the one archive that programs and tests link.

# storagefs_layer(NAME SOURCES FILE... [USES TARGET...])
#
# Declares the layer of the calling folder. SOURCES is the explicit list of its .c files; USES names the
# libraries that this layer may see beside glib (PkgConfig::FUSE, CURL, OPENSSL, JSON). A layer that
# has no files yet is left out. Includes are written from the root: "src/base/error.h".
function(storagefs_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 layer "" "" "SOURCES;USES")
    if(NOT layer_SOURCES)
        return()
    endif()
    add_library(${name} OBJECT ${layer_SOURCES})
    target_link_libraries(${name} PRIVATE storagefs_flags ${layer_USES})
    set_property(GLOBAL APPEND PROPERTY STORAGEFS_LAYERS ${name})
    set_property(GLOBAL APPEND PROPERTY STORAGEFS_LIBRARIES ${layer_USES})
endfunction()

# storagefs_core(NAME): the archive of all declared layers. An archive, not the objects themselves, so that a
# test program links only the files that it reaches.
function(storagefs_core name)
    get_property(layers GLOBAL PROPERTY STORAGEFS_LAYERS)
    get_property(libraries GLOBAL PROPERTY STORAGEFS_LIBRARIES)
    if(layers)
        list(TRANSFORM layers REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
        add_library(${name} STATIC ${objects})
        set(scope PUBLIC)
    else()
        add_library(${name} INTERFACE)
        set(scope INTERFACE)
    endif()
    list(REMOVE_DUPLICATES libraries)
    target_link_libraries(${name} ${scope} storagefs_flags ${libraries})
endfunction()
