"""Describes: what the API says about objects and fields, with all the keys that Salesforce sends."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, TEXT_TYPES, Field, ObjectType, Org

ENCODING = "UTF-8"
MAX_BATCH_SIZE = 200
MASTER_RECORD_TYPE = "012000000000000AAA"
SOAP_TYPES = {
    "id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
    "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime",
    "time": "xsd:time", "address": "urn:address",
}  # fmt: skip
NOT_GROUPABLE = NUMBER_TYPES | {"datetime", "address", "combobox", "multipicklist"}
FIELD_CONSTANTS: dict[str, Any] = {
    "aiPredictionField": False, "calculatedFormula": None, "cascadeDelete": False, "controllerName": None,
    "defaultValueFormula": None, "dependentPicklist": False, "deprecatedAndHidden": False,
    "displayLocationInDecimal": False, "encrypted": False, "filteredLookupInfo": None,
    "formulaTreatNullNumberAsZero": False, "highScaleNumber": False, "htmlFormatted": False, "inlineHelpText": None,
    "mask": None, "maskType": None, "referenceTargetField": None, "relationshipOrder": None,
    "writeRequiresMasterRead": False,
}  # fmt: skip
GLOBAL_CONSTANTS: dict[str, Any] = {
    "activateable": False, "associateEntityType": None, "associateParentEntity": None, "customSetting": False,
    "deepCloneable": False, "deprecatedAndHidden": False, "hasSubtypes": False, "isInterface": False,
    "isSubtype": False, "layoutable": True, "queryable": True, "replicateable": True, "retrieveable": True,
    "searchable": True, "triggerable": True,
}  # fmt: skip
OBJECT_CONSTANTS: dict[str, Any] = {
    "actionOverrides": [], "compactLayoutable": True, "defaultImplementation": None, "extendedBy": None,
    "extendsInterfaces": None, "implementedBy": None, "implementsInterfaces": None, "listviewable": None,
    "lookupLayoutable": None, "namedLayoutInfos": [], "networkScopeFieldName": None, "searchLayoutable": True,
    "sobjectDescribeOption": "FULL",
}  # fmt: skip


def describe_field(field: Field) -> dict[str, Any]:
    """Return the 57 keys of one field."""
    filterable = not field.is_long_text
    return (
        FIELD_CONSTANTS
        | _sizes(field)
        | _reference(field)
        | {
            "aggregatable": filterable and field.type not in ("boolean", "address"),
            "autoNumber": field.auto_number is not None,
            "calculated": field.formula is not None and field.custom,
            "caseSensitive": field.case_sensitive,
            "compoundFieldName": field.compound,
            "createable": field.createable,
            "custom": field.custom,
            "defaultValue": field.default,
            "defaultedOnCreate": field.defaulted,
            "externalId": field.external_id,
            "extraTypeInfo": field.extra,
            "filterable": filterable,
            "groupable": groupable(field),
            "idLookup": field.id_lookup,
            "label": field.label,
            "name": field.name,
            "nameField": field.name_field,
            "nillable": field.nillable,
            "permissionable": _permissionable(field),
            "picklistValues": _picklist_values(field),
            "queryByDistance": field.type == "address",
            "restrictedPicklist": field.restricted,
            "searchPrefilterable": field.type == "reference" and field.nillable and field.updateable,
            "soapType": SOAP_TYPES.get(field.type, "xsd:string"),
            "sortable": filterable and field.type not in ("address", "multipicklist"),
            "type": field.type,
            "unique": field.unique,
            "updateable": field.updateable,
        }
    )


def _sizes(field: Field) -> dict[str, Any]:
    length = field.length if field.type in TEXT_TYPES else 0
    return {
        "byteLength": length if field.type in ("id", "reference") else 3 * length,
        "digits": field.digits,
        "length": length,
        "precision": field.precision,
        "scale": field.scale,
    }


def _reference(field: Field) -> dict[str, Any]:
    polymorphic = len(field.reference_to) > 1
    return {
        "namePointing": polymorphic,
        "polymorphicForeignKey": polymorphic,
        "referenceTo": list(field.reference_to),
        "relationshipName": field.relationship,
        "restrictedDelete": field.on_delete == "restrict" and field.custom,
    }


def groupable(field: Field) -> bool:
    """True for a field that GROUP BY takes."""
    return not field.is_long_text and field.type not in NOT_GROUPABLE and not field.auto_number


def _permissionable(field: Field) -> bool:
    """True where an admin can hide the field from a profile: not for required, system and name fields."""
    writable = field.createable or field.updateable or field.type == "address"
    return writable and field.nillable and field.extra != "personname"


def _picklist_values(field: Field) -> list[dict[str, Any]]:
    def value(text: str, active: bool) -> dict[str, Any]:
        default = field.default == text
        return {"active": active, "defaultValue": default, "label": text, "validFor": None, "value": text}

    active = [value(each, True) for each in field.values]
    return active + [value(each, False) for each in field.inactive_values]


def describe_object(org: Org, target: ObjectType, base: str) -> dict[str, Any]:
    """Return the full describe of one object; `base` is the path of the API version asked for."""
    described = describe_briefly(target, base) | OBJECT_CONSTANTS
    urls = described["urls"]
    described["childRelationships"] = [_child(child, ref) for child, ref in org.children_of(target.name)]
    described["fields"] = [describe_field(each) for each in target.fields]
    described["recordTypeInfos"] = [
        {
            "active": True, "available": True, "defaultRecordTypeMapping": True, "developerName": "Master",
            "master": True, "name": "Master", "recordTypeId": MASTER_RECORD_TYPE,
            "urls": {"layout": f"{urls['layouts']}/{MASTER_RECORD_TYPE}"},
        }
    ]  # fmt: skip
    described["supportedScopes"] = [
        {"label": f"All {target.plural.lower()}", "name": "everything"},
        {"label": f"My {target.plural.lower()}", "name": "mine"},
    ]
    return described


def describe_briefly(target: ObjectType, base: str) -> dict[str, Any]:
    """Return the object's part of the global describe."""
    path = f"{base}/sobjects/{target.name}"
    standard = not target.custom
    return GLOBAL_CONSTANTS | {
        "createable": target.createable,
        "custom": target.custom,
        "deletable": target.deletable,
        "feedEnabled": standard,
        "keyPrefix": target.prefix,
        "label": target.label,
        "labelPlural": target.plural,
        "mergeable": target.mergeable,
        "mruEnabled": standard,
        "name": target.name,
        "undeletable": target.deletable,
        "updateable": target.createable,
        "urls": {
            "compactLayouts": f"{path}/describe/compactLayouts",
            "rowTemplate": f"{path}/{{ID}}",
            "approvalLayouts": f"{path}/describe/approvalLayouts",
            "listviews": f"{path}/listviews",
            "describe": f"{path}/describe",
            "quickActions": f"{path}/quickActions",
            "layouts": f"{path}/describe/layouts",
            "sobject": path,
        },
    }


def describe_all(org: Org, base: str) -> dict[str, Any]:
    """Return the global describe."""
    briefs = [describe_briefly(each, base) for each in sorted(org.objects.values(), key=lambda each: each.name)]
    return {"encoding": ENCODING, "maxBatchSize": MAX_BATCH_SIZE, "sobjects": briefs}


def _child(child: ObjectType, ref: Field) -> dict[str, Any]:
    return {
        "cascadeDelete": ref.on_delete == "cascade",
        "childSObject": child.name,
        "deprecatedAndHidden": False,
        "field": ref.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": ref.child_relationship,
        "restrictedDelete": ref.on_delete == "restrict",
    }
