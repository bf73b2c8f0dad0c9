// The roles of this folder, of the subscription that this is deployed to:
// az deployment sub create --location westeurope --template-file main.bicep

targetScope = 'subscription'

@description('What the names of the roles begin with')
param name string = 'tagwall'

// Read from the files, so that what is here cannot be another thing than what is there.
var files = [
  json(loadTextContent('tagwall.json'))
  json(loadTextContent('tagwall-read-only.json'))
  json(loadTextContent('tagwall-source.json'))
]

resource roles 'Microsoft.Authorization/roleDefinitions@2022-04-01' = [for file in files: {
  name: guid(subscription().id, replace(file.Name, 'tagwall', name))
  properties: {
    roleName: replace(file.Name, 'tagwall', name)
    description: file.Description
    type: 'CustomRole'
    permissions: [
      {
        actions: file.Actions
        notActions: file.NotActions
        dataActions: file.DataActions
        notDataActions: file.NotDataActions
      }
    ]
    assignableScopes: [
      subscription().id
    ]
  }
}]

output roleIds array = [for (file, index) in files: roles[index].id]
